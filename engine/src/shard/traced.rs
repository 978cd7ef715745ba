//! Deliveries of publications that are recorded: taken as all others, and told of. Called where
//! deliveries are acted on.

use super::Shard;
use crate::application::Application;
use crate::driver::boundary::Driver;
use crate::message::delivery::{Delivery, TracedDelivery};
use crate::topic::batch::{Recipients, Turn};

impl<A: Application, D: Driver> Shard<A, D> {
    /// Returns the delivery if something has to go out before it.
    #[cold]
    pub(super) fn act_on_traced(
        &mut self,
        recipients: Option<Recipients>,
        traced: TracedDelivery,
    ) -> Option<Delivery> {
        let TracedDelivery { delivery, from } = traced;
        let topic = delivery.published_to().cloned();
        if let Some(again) = self.act_on(recipients, delivery) {
            return Some(TracedDelivery::with(again, Some(from)));
        }
        let (topics, shard) = (&mut self.core.topics, self.core.mail.shard());
        // Nobody is there, or it passes nobody's filter.
        let goes_out = |recipients: &Recipients| {
            *topics.turn(*recipients) == Turn::UnderWay || !topics.batch(*recipients).is_empty()
        };
        match recipients.filter(goes_out) {
            Some(recipients) => topics.traces.begin_delivery(recipients, topic, from),
            None => topics.traces.tell_vain(from, topic.as_ref(), shard),
        }
        None
    }
}
