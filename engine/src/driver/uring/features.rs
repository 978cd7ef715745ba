//! Each feature of io_uring that the driver uses, tried by itself: what whoever examines a host is
//! shown. The driver asks `capabilities` instead, which stops at the first that is missing.

use super::buffers::Buffers;
use super::capabilities::{Trial, lacking};
use super::refusal::{Call, CallRefused};
use super::ring::Waking;
use crate::driver::platform::{TrialOutcome, TriedFeature, Unsupported};
use io_uring::IoUring;

/// Rows of [`try_each`]: name, what for, trial. Each trial has rings of its own.
type Row = (&'static str, &'static str, fn() -> TrialOutcome);

/// Entries of a ring that tries what needs no room.
const ENTRIES: u32 = 8;

/// The first row is what all others build on.
const ROWS: [Row; 10] = [
    (
        "io_uring_setup",
        "makes a ring: every operation of a shard goes through one",
        || outcome(plain().map(drop)),
    ),
    (
        "IORING_SETUP_DEFER_TASKRUN, SINGLE_ISSUER, COOP_TASKRUN",
        "completions appear when the shard looks for them, and only then",
        || outcome(deferred().map(drop)),
    ),
    (
        "IORING_FEAT_EXT_ARG, NODROP, CQE_SKIP",
        "waits end in time, no completion is lost, sends that succeed post none",
        flags,
    ),
    (
        "direct descriptors",
        "sockets live in the ring's table, not in the process's",
        || outcome(direct_descriptors()),
    ),
    (
        "provided buffer rings",
        "the kernel takes a receive buffer only when data is there",
        || outcome(buffer_ring()),
    ),
    (
        "multishot receive",
        "one request receives everything that a client sends",
        || outcome(Trial::new().and_then(|mut trial| trial.multishot_receive())),
    ),
    (
        "sends that report only short sends",
        "a fan-out of a thousand sends posts nothing when all of them left",
        || outcome(Trial::new().and_then(|mut trial| trial.silent_send())),
    ),
    (
        "min_wait",
        "a busy shard waits a little for a batch of completions",
        min_wait,
    ),
    (
        "prompt release of closed sockets",
        "a closed socket is gone at once beside receives that are older",
        prompt_release,
    ),
    (
        "rings that wake one another",
        "a shard has more connections than files may be open",
        further_rings,
    ),
];

/// Tries them in turn. Where there are no rings at all nothing else is tried.
pub(super) fn try_each() -> Vec<TriedFeature> {
    let mut has_rings = true;
    let tried = ROWS
        .iter()
        .enumerate()
        .map(|(index, (name, purpose, attempt))| {
            let outcome = if has_rings {
                attempt()
            } else {
                TrialOutcome::NotTried
            };
            if index == 0 {
                has_rings = outcome == TrialOutcome::Works;
            }
            TriedFeature {
                name,
                purpose,
                outcome,
            }
        });
    tried.collect()
}

/// Nothing could be tried.
pub(super) fn not_even_a_thread(lack: Unsupported) -> TriedFeature {
    let (name, purpose, _) = ROWS[0];
    TriedFeature {
        name,
        purpose,
        outcome: TrialOutcome::Missing(lack),
    }
}

fn outcome<E: Into<Unsupported>>(tried: Result<(), E>) -> TrialOutcome {
    match tried {
        Ok(()) => TrialOutcome::Works,
        Err(error) => TrialOutcome::Missing(error.into()),
    }
}

fn plain() -> Result<IoUring, CallRefused> {
    IoUring::new(ENTRIES).map_err(Call::Setup.refused())
}

fn deferred() -> Result<IoUring, CallRefused> {
    let mut builder = IoUring::builder();
    builder
        .setup_single_issuer()
        .setup_coop_taskrun()
        .setup_defer_taskrun();
    builder.build(ENTRIES).map_err(Call::Setup.refused())
}

fn flags() -> TrialOutcome {
    outcome(plain().map_err(Unsupported::from).and_then(|ring| {
        let params = ring.params();
        let all = params.is_feature_ext_arg()
            && params.is_feature_nodrop()
            && params.is_feature_skip_cqe_on_success();
        match all {
            true => Ok(()),
            false => Err(lacking("one of EXT_ARG, NODROP and CQE_SKIP")),
        }
    }))
}

fn direct_descriptors() -> Result<(), CallRefused> {
    let registered = plain()?.submitter().register_files_sparse(ENTRIES);
    registered.map_err(Call::Register.refused())
}

fn buffer_ring() -> Result<(), CallRefused> {
    // The buffers go before the ring that was told of them.
    let ring = plain()?;
    let buffers = Buffers::register(&ring, 0)?;
    drop(ring);
    drop(buffers);
    Ok(())
}

fn min_wait() -> TrialOutcome {
    match plain() {
        Ok(ring) if ring.params().is_feature_min_timeout() => TrialOutcome::Works,
        Ok(_) => {
            TrialOutcome::Replaced("every completion wakes a busy shard; run Linux 6.12 or newer")
        }
        Err(error) => TrialOutcome::Missing(error.into()),
    }
}

fn prompt_release() -> TrialOutcome {
    let ordered = Trial::new().and_then(|mut trial| {
        trial.multishot_receive()?;
        trial.ordered_release()
    });
    match ordered {
        Ok(false) => TrialOutcome::Works,
        Ok(true) => TrialOutcome::Replaced(
            "receives are cancelled and armed anew now and then; run Linux 6.13 or newer",
        ),
        // The receive is a row of its own.
        Err(_) => TrialOutcome::NotTried,
    }
}

fn further_rings() -> TrialOutcome {
    match Waking::find() {
        Ok(Some(Waking::Deferred)) => TrialOutcome::Works,
        Ok(Some(Waking::Prompt)) => TrialOutcome::Replaced(
            "further rings run without deferred task running; run a kernel other than Linux 6.12.115 to 6.12.118",
        ),
        Ok(None) => TrialOutcome::Replaced(
            "a shard has one ring, and connections beyond the limit on open files are answered 503",
        ),
        Err(error) => TrialOutcome::Missing(error.into()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::driver::platform::Platform;
    use crate::driver::uring::Uring;

    /// What the probe finds to be missing is missing here, too, and the other way about.
    #[test]
    fn the_trials_agree_with_the_probe() {
        let platform = Uring::default();
        let tried = platform.features();
        assert_eq!(tried.len(), ROWS.len());
        let is_missing = |tried: &TriedFeature| matches!(tried.outcome, TrialOutcome::Missing(_));
        let missing: Vec<&TriedFeature> = tried.iter().filter(|tried| is_missing(tried)).collect();
        assert_eq!(
            platform.probe().is_err(),
            !missing.is_empty(),
            "{missing:?}"
        );
    }
}
