//! Reading the configuration and all files again while the server runs, on SIGHUP and when an
//! operator asks for it: all that can change is exchanged, and what takes a restart is named.
//!
//! Invariant: everything is read before anything is exchanged, and a part that cannot be used
//! leaves all parts as they are; but where one shard is too busy to take new certificates, others
//! may have them by then. Connections that are open stay. The control plane calls it.

use crate::access::lists::LiveLists;
use crate::admin::lifecycle::{InForce, Reloaded, Unchanged};
use crate::admin::rules::LiveRules;
use crate::admin::state::AdminState;
use crate::admin::tls::ReadAdminTls;
use crate::admin::token::AdminToken;
use crate::audit::event::AuditEvent;
use crate::auth::files;
use crate::auth::gate::TokenGate;
use crate::auth::key::TokenKey;
use crate::config::{self, Settings};
use crate::gateway::live::GatewayRules;
use crate::gateway::prepare;
use crate::log::{Audit, LogLevel};
use crate::service::NotifySocket;
use crate::tls;
use shardcast_engine::{Handle, Tls};
use std::fmt;
use std::sync::Arc;

/// What can be exchanged in a running server.
pub(crate) struct Reload {
    /// Of its TLS listener, if it has one.
    pub(crate) certificates: Option<Certificates>,
    /// If it asks for tokens.
    pub(crate) gate: Option<Arc<TokenGate>>,
    pub(crate) lists: Arc<LiveLists>,
    pub(crate) rules: LiveRules,
    pub(crate) level: LogLevel,
    pub(crate) audit: Audit,
    pub(crate) in_force: Arc<InForce>,
    pub(crate) again: ReadAgain,
    /// Who hears that it is under way, and that it is over.
    pub(crate) notify: NotifySocket,
}

/// The certificates of a TLS listener.
#[derive(Debug)]
pub(crate) struct Certificates {
    /// In force.
    pub(crate) tls: Tls,
    /// Index of the listener.
    pub(crate) listener: usize,
    pub(crate) handle: Handle,
}

/// Reads the configuration from where it was read before.
pub(crate) type ReadAgain = Arc<dyn Fn() -> Result<Settings, Vec<String>> + Send + Sync>;

/// All that was read, ready to be used. `None`: the server has no use for it.
struct ReadParts {
    tls: Option<Tls>,
    keys: Option<Vec<TokenKey>>,
    admin_tls: Option<ReadAdminTls>,
    token: Option<AdminToken>,
    gateway: Option<GatewayRules>,
}

impl Reload {
    /// Reads everything, and uses it from now on.
    ///
    /// # Errors
    /// All that is wrong; everything is as it was.
    pub(crate) fn run(&mut self, state: &AdminState) -> Result<Reloaded, Unchanged> {
        if let Some(journal) = &self.audit.journal {
            journal.reopen();
        }
        self.notify.reloading();
        let outcome = self.exchange(state);
        self.notify.ready(match outcome.is_ok() {
            true => "serving; the configuration was read again",
            false => "serving; the configuration that was read cannot be used, see the log",
        });
        let success = outcome.is_ok();
        let metrics = state.metrics();
        let result = audited("addresses", success);
        metrics.access_reloaded(result);
        if self.certificates.is_some() {
            metrics.tls_reloaded(audited("certificates", success));
        }
        if self.gate.is_some() {
            metrics.keys_reloaded(audited("keys", success));
        }
        if state.tls.is_some() {
            audited("admin certificate", success);
        }
        if self.in_force.get().operators().has_token() {
            audited("admin token", success);
        }
        if self.rules.have_gateway() {
            audited("gateway", success);
        }
        outcome
    }

    fn exchange(&mut self, state: &AdminState) -> Result<Reloaded, Unchanged> {
        let read = (self.again)().and_then(|settings| {
            let parts = self.read(state, &settings)?;
            Ok((settings, parts))
        });
        let (settings, parts) = read.map_err(|problems| {
            for problem in &problems {
                tracing::error!(%problem, "everything stays as it is");
            }
            Unchanged(problems)
        })?;
        self.use_certificates(parts.tls)?;
        if let (Some(gate), Some(keys)) = (&self.gate, parts.keys) {
            let count = keys.len();
            gate.replace_keys(keys);
            AuditEvent::KeysReplaced { keys: count }.emit();
            tracing::info!(
                keys = count,
                "tokens are checked with the keys that were just read"
            );
        }
        self.use_lists(&settings);
        if let (Some(tls), Some(read)) = (&state.tls, parts.admin_tls) {
            tls.replace(read);
        }
        if let Some(token) = parts.token {
            state.guard.replace_token(token);
        }
        let old = self.in_force.get();
        if old.log_level() != settings.log_level() {
            self.level.set(settings.log_level());
        }
        let (mut applied, mut needs_restart) = (Vec::new(), Vec::new());
        let rules = self.rules.exchange(&old, &settings, parts.gateway);
        let merged = old.with_what_is_exchanged(&settings, rules);
        let left = config::differences(&merged, &settings);
        for name in config::differences(&old, &settings) {
            match left.contains(&name) {
                true => needs_restart.push(name),
                false => applied.push(name),
            }
        }
        self.in_force.replace(merged);
        if !needs_restart.is_empty() {
            tracing::warn!(
                keys = needs_restart.join(", "),
                "the configuration has changed in more than can be exchanged: the rest takes a restart"
            );
        }
        Ok(Reloaded {
            applied,
            needs_restart,
        })
    }

    /// Reads every file that the settings name.
    fn read(&self, state: &AdminState, settings: &Settings) -> Result<ReadParts, Vec<String>> {
        let (mut problems, mut warnings) = (Vec::new(), Vec::new());
        let mut parts = ReadParts {
            tls: None,
            keys: None,
            admin_tls: None,
            token: None,
            gateway: None,
        };
        if let (Some(certificates), Some(files)) = (&self.certificates, settings.tls()) {
            match tls::prepare(files, Some(&certificates.tls)) {
                Ok(prepared) => {
                    warnings.extend(prepared.warnings);
                    parts.tls = Some(prepared.tls);
                }
                Err(faults) => problems.extend(
                    faults
                        .iter()
                        .map(|fault| format!("{fault}; the certificates stay as they are")),
                ),
            }
        }
        if self.gate.is_some() {
            match files::read(settings.auth()) {
                Ok(read) => {
                    warnings.extend(read.warnings);
                    parts.keys = Some(read.keys);
                }
                Err(faults) => problems.extend(
                    faults
                        .iter()
                        .map(|fault| format!("{fault}; the keys of tokens stay as they are")),
                ),
            }
        }
        if let (Some(_), Some(files)) = (&state.tls, settings.operators().tls()) {
            match ReadAdminTls::read(files) {
                Ok(read) => parts.admin_tls = Some(read),
                Err(error) => problems.push(error.to_string()),
            }
        }
        if self.rules.have_gateway() {
            match prepare::prepare(settings) {
                Ok(options) => parts.gateway = options.map(|options| options.rules),
                Err(problem) => problems.push(format!("{problem}; the gateway stays as it is")),
            }
        }
        match settings.operators().token() {
            Ok(token) => parts.token = token,
            Err(error) => problems.push(error.to_string()),
        }
        if !problems.is_empty() {
            return Err(problems);
        }
        for warning in warnings {
            tracing::warn!("{warning}");
        }
        Ok(parts)
    }

    /// First of all, for shards may be too busy to take them.
    fn use_certificates(&mut self, read: Option<Tls>) -> Result<(), Unchanged> {
        let (Some(certificates), Some(tls)) = (&mut self.certificates, read) else {
            return Ok(());
        };
        let Certificates {
            listener, handle, ..
        } = certificates;
        if !handle.replace_tls(*listener, tls.clone()) {
            let busy =
                "a shard is too busy to take new certificates, others may have them; try again";
            tracing::error!("{busy}");
            return Err(Unchanged(vec![busy.to_owned()]));
        }
        certificates.tls = tls;
        tracing::info!("new connections get the certificates that were just read");
        Ok(())
    }

    fn use_lists(&self, settings: &Settings) {
        let lists = settings.addresses();
        let allowed = lists.allow.as_ref().map(|allow| allow.count());
        let blocked = lists.block.count();
        self.lists.replace(lists);
        tracing::info!(
            ?allowed,
            blocked,
            "new connections are let in by the lists just read"
        );
    }
}

/// How a reading went, as metrics say it, and the audit log.
fn audited(what: &'static str, success: bool) -> &'static str {
    let result = if success { "success" } else { "failure" };
    AuditEvent::Reloaded { what, result }.emit();
    result
}

impl fmt::Debug for Reload {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Reload").finish_non_exhaustive()
    }
}
