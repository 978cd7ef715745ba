//! A home's part in the time of keys: what a map has held for long enough is removed by a
//! publication, in the topic's order. Called once a tick.

use crate::message::request::PublishRequest;
use crate::topic::keep::{Keep, MapChange, SetRule};
use crate::topic::outlet::Outlet;
use crate::topic::topics::Topics;
use std::sync::Arc;

impl Topics {
    /// Keys that are removed in one tick. The others follow in the next.
    const EXPIRED_PER_TICK: usize = 256;

    /// Removes keys whose time is over, as long as there is room to tell of it.
    #[cold]
    pub(crate) fn remove_expired(&mut self, outlet: &mut Outlet<'_>) {
        for _ in 0..Self::EXPIRED_PER_TICK {
            if !self.logs.has_expired() || !outlet.mail.can_deliver() {
                return;
            }
            self.remove_next_expired(outlet);
        }
    }

    fn remove_next_expired(&mut self, outlet: &mut Outlet<'_>) {
        let now = outlet.now;
        let next = self.logs.at_expired(now, |log, options| {
            let (key, last) = log.next_expired(options, now)?;
            Some((Arc::clone(key), last.clone(), log.class))
        });
        let Some((topic, (key, last, class))) = next else {
            return;
        };
        let keep = Keep {
            class,
            key: None,
            conflate: Some(Arc::clone(&key)),
            change: MapChange::Remove,
            rule: SetRule::default(),
            place: None,
        };
        outlet.counters.map_keys_expired.add(1);
        let Some(removal) = outlet.encoder.removal(&last, topic.topic()) else {
            self.logs
                .get(topic.topic(), now, |log, _| log.map.remove(&key));
            return;
        };
        let publish = PublishRequest {
            topic: Some(topic.clone()),
            content: removal.clone().into_kept(keep.clone()),
            except: None,
            report: None,
        };
        self.order_kept(outlet, &publish, &topic, &keep, &removal);
    }
}
