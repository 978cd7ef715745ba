//! What can be measured: the options of each scenario, and the plan that they come to. Called by
//! `main`.

mod broadcast;
mod chat;
mod churn;
mod echo;
mod fan_in;
mod idle;
mod recover;
mod slow;
mod storm;

use crate::options::CommonOptions;
use crate::plan::Plan;
use clap::Subcommand;

/// What to do.
#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    /// Round trips: each message comes back to its sender.
    Echo(echo::EchoOptions),
    /// Publishers publish, every connection receives.
    Broadcast(broadcast::BroadcastOptions),
    /// Many publish, few listen: here --connections publish.
    FanIn(fan_in::FanInOptions),
    /// A broadcast in which a share of the subscribers stops reading.
    Slow(slow::SlowOptions),
    /// Many rooms, a few large and many small, in which their members talk.
    Chat(chat::ChatOptions),
    /// Connections that only stay: what they cost in memory.
    Idle(idle::IdleOptions),
    /// Connections come and go at a steady rate.
    Churn(churn::ChurnOptions),
    /// Many lose their connection at once and come back, while the rest goes on.
    Storm(storm::StormOptions),
    /// Many lose their connection, come back, and get what they missed, while the rest listens.
    Recover(recover::RecoverOptions),
    /// Started by the tool itself.
    #[command(hide = true)]
    Worker,
}

impl Command {
    /// What every scenario takes; `None` for a worker.
    pub(crate) fn common(&self) -> Option<&CommonOptions> {
        match self {
            Command::Echo(options) => Some(&options.common),
            Command::Broadcast(options) => Some(&options.common),
            Command::FanIn(options) => Some(&options.common),
            Command::Slow(options) => Some(&options.common),
            Command::Chat(options) => Some(&options.common),
            Command::Idle(options) => Some(&options.common),
            Command::Churn(options) => Some(&options.common),
            Command::Storm(options) => Some(&options.common),
            Command::Recover(options) => Some(&options.common),
            Command::Worker => None,
        }
    }

    /// The run.
    ///
    /// # Errors
    /// What cannot be done and why, in words.
    pub(crate) fn plan(&self) -> Result<Plan, String> {
        let plan = match self {
            Command::Echo(options) => options.plan(),
            Command::Broadcast(options) => options.plan(),
            Command::FanIn(options) => options.plan(),
            Command::Slow(options) => options.plan(),
            Command::Chat(options) => options.plan(),
            Command::Idle(options) => options.plan(),
            Command::Churn(options) => options.plan(),
            Command::Storm(options) => options.plan(),
            Command::Recover(options) => options.plan(),
            Command::Worker => Err("a worker is started by the tool itself".into()),
        };
        let plan = plan?.with_interval(self.common().and_then(|common| common.interval))?;
        if self
            .common()
            .is_some_and(|common| common.find_limit.is_some())
        {
            plan.rate_per_s()?;
        }
        Ok(plan)
    }
}
