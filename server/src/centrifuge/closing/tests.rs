//! Every reason in every dialect: the code, whether SDKs stay away, and the text.

use super::*;

const CENTRIFUGE: [Dialect; 2] = [Dialect::CentrifugeJson, Dialect::CentrifugeProtobuf];

fn code(number: u16) -> CloseCode {
    CloseCode::new(number).expect("may be sent")
}

/// What the engine says for each of its reasons, with the code that native clients hear, and the
/// one that clients of the Centrifuge protocol do.
fn engine_rows() -> Vec<(CloseReason, u16, u16)> {
    let mut rows = vec![
        (CloseReason::SlowReader, 1008, 3008),
        (CloseReason::OverBudget, 1013, 3013),
        (CloseReason::Draining, 1001, 3001),
    ];
    for deadline in Deadline::ALL {
        let number = match deadline {
            Deadline::Pong | Deadline::Idle => 3012,
            Deadline::Frame | Deadline::Message | Deadline::Progress => 3008,
            Deadline::Handshake | Deadline::Header | Deadline::Admission | Deadline::Close => 3000,
        };
        rows.push((CloseReason::TimedOut(deadline), 1008, number));
    }
    for error in [
        ProtocolError::ReservedBit,
        ProtocolError::TextNotUtf8,
        ProtocolError::MessageTooBig,
        ProtocolError::InflatedTooBig,
        ProtocolError::CompressedDamaged,
    ] {
        let native = error.close_code().get();
        rows.push((CloseReason::Protocol(error), native, 3501));
    }
    rows
}

/// What applications say, and what clients of the Centrifuge protocol hear.
fn application_rows() -> Vec<(u16, u16)> {
    let mut rows = vec![
        (1000, 3503),
        (1001, 3001),
        (1002, 3501),
        (1003, 3501),
        (1007, 3501),
        (1008, 3503),
        (1009, 3501),
        (1010, 3501),
        (1011, 3004),
        (1012, 3001),
        (1013, 3013),
        (1014, 3000),
        // The protocol's own, and an application's own, stay.
        (3000, 3000),
        (3500, 3500),
        (4200, 4200),
        (4500, 4500),
        (4999, 4999),
        // Of the native ranges, those that no problem has.
        (4099, 3503),
        (4199, 3011),
    ];
    for problem in Code::ALL {
        let native = problem.close_code().get();
        let number = match problem {
            Code::BadJson
            | Code::BadRequest
            | Code::NotJoined
            | Code::NoSession
            | Code::TooLarge
            | Code::UnknownNamespace
            | Code::InvalidData => 3501,
            Code::UnknownType => 3508,
            Code::Unauthorized => 3500,
            Code::Forbidden => 3507,
            Code::RoomLimit => 3505,
            Code::RateLimited => 3013,
            Code::HandlerFailed => 3004,
            Code::TokenExpired => 3005,
            Code::Timeout | Code::Unavailable | Code::RoomFull => 3011,
        };
        rows.push((native, number));
    }
    rows
}

#[test]
fn every_reason_of_the_engine_has_its_code_in_every_dialect() {
    for (reason, native, number) in engine_rows() {
        for dialect in Dialect::OWN {
            let told = closing(dialect, reason, code(native), "why");
            assert_eq!(told, (code(native), "why"), "{dialect:?} {reason:?}");
        }
        for dialect in CENTRIFUGE {
            let told = closing(dialect, reason, code(native), "why");
            assert_eq!(told, (code(number), "why"), "{dialect:?} {reason:?}");
        }
    }
}

#[test]
fn every_code_of_an_application_has_its_meaning_in_every_dialect() {
    for (native, number) in application_rows() {
        let reason = CloseReason::Application(code(native));
        for dialect in Dialect::OWN {
            let told = closing(dialect, reason, code(native), "");
            assert_eq!(told, (code(native), ""), "{dialect:?} {native}");
        }
        for dialect in CENTRIFUGE {
            let (told, _) = closing(dialect, reason, code(native), "why");
            assert_eq!(told.get(), number, "{dialect:?} {native}");
            // Where native clients are told not to come back, these stay away, too.
            let is_native_terminal = (4000..=4099).contains(&native);
            if is_native_terminal || (4100..=4199).contains(&native) {
                assert_eq!(
                    Disconnect::is_terminal(told),
                    is_native_terminal,
                    "{native}"
                );
            }
        }
    }
}

#[test]
fn a_text_that_sdks_would_misunderstand_is_replaced() {
    for text in ["", "null", "17", "{}", r#"{"reason":"x","reconnect":true}"#] {
        for dialect in CENTRIFUGE {
            for number in [1000, 4003, 4500, 3501] {
                let reason = CloseReason::Application(code(number));
                let (_, told) = closing(dialect, reason, code(number), text);
                assert!(Disconnect::is_plain(told), "{number}: {told:?}");
            }
        }
    }
}
