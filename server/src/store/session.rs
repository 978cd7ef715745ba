//! Sessions as the store writes them: under the digest of their secret, with who they are, where
//! they were, and when they end.

use crate::session::identity::Identity;
use crate::session::origin::NeededProof;
use crate::session::record::KeptRoom;
use crate::session::shelf::ShelvedSession;
use crate::session::token::SecretDigest;
use crate::store::record::{BINARY, Damaged, RecordReader, TEXT, VERSION, push_bytes};
use shardcast_engine::{Address, Data, DataEncoding, OwnedData, Ticket};
use std::time::Duration;

const BY_SECRET: u8 = 0;
const BY_USER: u8 = 1;
const NOTHING_SHOWN: u8 = 2;

/// The session without its digest.
pub(crate) fn write(session: &ShelvedSession, now_ms: u64) -> Vec<u8> {
    let mut out = vec![VERSION];
    let remaining_ms = u64::try_from(session.remaining.as_millis()).unwrap_or(u64::MAX);
    out.extend_from_slice(&now_ms.saturating_add(remaining_ms).to_le_bytes());
    let Address { shard, ticket } = session.connection;
    out.extend_from_slice(&shard.to_le_bytes());
    out.extend_from_slice(&ticket.slot.to_le_bytes());
    out.extend_from_slice(&ticket.generation.to_le_bytes());
    out.push(match session.proof {
        NeededProof::Secret => BY_SECRET,
        NeededProof::User => BY_USER,
    });
    push_bytes(
        &mut out,
        session.identity.name().unwrap_or_default().as_bytes(),
    );
    let roles = session.identity.roles();
    push_count(&mut out, roles.len());
    for role in roles {
        push_bytes(&mut out, role.as_bytes());
    }
    push_count(&mut out, session.rooms.len());
    for KeptRoom { room, shown } in &session.rooms {
        push_bytes(&mut out, room.as_bytes());
        let Some(shown) = shown else {
            out.push(NOTHING_SHOWN);
            continue;
        };
        let data = shown.data();
        out.push(match data {
            Data::Text(_) => TEXT,
            Data::Binary(_) => BINARY,
        });
        out.push(shown.data_encoding().0);
        push_bytes(&mut out, data.bytes());
    }
    out
}

/// `None`: its time is over.
pub(crate) fn read(
    digest: SecretDigest,
    bytes: &[u8],
    now_ms: u64,
) -> Result<Option<ShelvedSession>, Damaged> {
    let mut reader = RecordReader::new(bytes)?;
    let remaining_ms = reader.u64()?.saturating_sub(now_ms);
    let connection = Address {
        shard: u16::from_le_bytes(reader.array()?),
        ticket: Ticket {
            slot: u32::from_le_bytes(reader.array()?),
            generation: u32::from_le_bytes(reader.array()?),
        },
    };
    let proof = match reader.u8()? {
        BY_SECRET => NeededProof::Secret,
        BY_USER => NeededProof::User,
        _ => return Err(Damaged),
    };
    let identity = match reader.text()? {
        "" => Identity::nobody(),
        name => Identity::user(name).map_err(|_| Damaged)?,
    };
    // Nothing is set aside for counts: each item takes bytes that are there.
    let mut roles: Vec<Box<str>> = Vec::new();
    for _ in 0..reader.u32()? {
        roles.push(reader.text()?.into());
    }
    let mut rooms = Vec::new();
    for _ in 0..reader.u32()? {
        rooms.push(room(&mut reader)?);
    }
    if !reader.is_at_end() {
        return Err(Damaged);
    }
    Ok((remaining_ms > 0).then(|| ShelvedSession {
        connection,
        digest,
        proof,
        identity: identity.in_roles(roles),
        rooms,
        remaining: Duration::from_millis(remaining_ms),
    }))
}

fn room(reader: &mut RecordReader<'_>) -> Result<KeptRoom, Damaged> {
    let room = reader.text()?.into();
    let shown = match reader.u8()? {
        NOTHING_SHOWN => None,
        form => {
            let encoding = DataEncoding(reader.u8()?);
            let bytes = reader.bytes()?;
            let data = match form {
                TEXT => Data::Text(str::from_utf8(bytes).map_err(|_| Damaged)?),
                BINARY => Data::Binary(bytes),
                _ => return Err(Damaged),
            };
            Some(OwnedData::new(data, encoding))
        }
    };
    Ok(KeptRoom { room, shown })
}

fn push_count(out: &mut Vec<u8>, count: usize) {
    let count = u32::try_from(count).expect("rooms and roles are bounded");
    out.extend_from_slice(&count.to_le_bytes());
}

#[cfg(test)]
mod tests {
    use super::*;

    fn session() -> ShelvedSession {
        let shown = OwnedData::new(Data::Text("{\"mood\":1}"), DataEncoding(0));
        let ticket = Ticket {
            slot: 7,
            generation: 9,
        };
        ShelvedSession {
            connection: Address { shard: 3, ticket },
            digest: SecretDigest([5; SecretDigest::BYTES]),
            proof: NeededProof::User,
            identity: Identity::user("ann").expect("a name").in_roles(["a", "b"]),
            rooms: vec![
                KeptRoom {
                    room: "quiet".into(),
                    shown: None,
                },
                KeptRoom {
                    room: "shown".into(),
                    shown: Some(shown),
                },
            ],
            remaining: Duration::from_millis(1_500),
        }
    }

    #[test]
    fn a_session_reads_back_until_its_time_is_over() {
        let session = session();
        let bytes = write(&session, 10_000);
        let later = read(session.digest, &bytes, 10_500).expect("whole");
        let expected = ShelvedSession {
            remaining: Duration::from_millis(1_000),
            ..session.clone()
        };
        assert_eq!(later, Some(expected));
        assert_eq!(read(session.digest, &bytes, 11_500), Ok(None));
    }

    #[test]
    fn what_is_cut_off_or_goes_on_is_damaged() {
        let session = session();
        let mut bytes = write(&session, 10_000);
        for len in 0..bytes.len() {
            assert_eq!(
                read(session.digest, &bytes[..len], 0),
                Err(Damaged),
                "{len}"
            );
        }
        bytes.push(0);
        assert_eq!(read(session.digest, &bytes, 0), Err(Damaged));
    }
}
