//! Starting and stopping engines on the real ring.

use shardcast_engine::protocol::http::HttpRequest;
use shardcast_engine::{
    Admission, Application, Config, Context, Listener, Message, Pinning, StartError,
};
use std::io::{ErrorKind, Read};
use std::net::{SocketAddr, TcpStream};
use std::time::Duration;

struct Mute;

impl Application for Mute {
    type Session = ();

    fn connect(&mut self, _: &mut Context<'_>, _: &HttpRequest<'_>) -> Admission<()> {
        Admission::Accept(().into())
    }

    fn message(&mut self, _: &mut Context<'_>, _: &mut (), _: Message<'_>) {}
}

fn config(listen: SocketAddr) -> Config {
    Config {
        listeners: vec![Listener::plain(listen)],
        shards: 2,
        pinning: Pinning::None,
        connections_max: 1000,
        ..Config::default()
    }
}

#[test]
fn a_port_belongs_to_one_engine_until_it_ends() {
    let any = SocketAddr::from(([127, 0, 0, 1], 0));
    let first = shardcast_engine::start(config(any), |_| Mute).expect("starts");
    let address = first.local_addr().unwrap();
    assert!(first.is_alive());
    TcpStream::connect(address).expect("listens");
    match shardcast_engine::start(config(address), |_| Mute) {
        Err(error @ StartError::Listen { .. }) => {
            let told = format!("cannot listen on {address}: Address already in use (os error 98)");
            assert_eq!([error.to_string(), format!("{error:?}")], [&*told, &*told]);
        }
        other => panic!("{other:?}"),
    }
    drop(first);
    let again = shardcast_engine::start(config(address), |_| Mute).expect("the port is free again");
    assert_eq!(again.local_addr(), Some(address));
}

/// The rings are the shards'. One that the caller had had would interrupt it when the kernel takes
/// that down.
#[test]
fn starting_an_engine_interrupts_no_read_of_the_caller() {
    let any = SocketAddr::from(([127, 0, 0, 1], 0));
    for _ in 0..20 {
        let engine = shardcast_engine::start(config(any), |_| Mute).expect("starts");
        let mut client = TcpStream::connect(engine.local_addr().unwrap()).unwrap();
        client
            .set_read_timeout(Some(Duration::from_millis(20)))
            .unwrap();
        let error = client.read(&mut [0]).expect_err("nobody says anything");
        assert_eq!(error.kind(), ErrorKind::WouldBlock);
    }
}

#[test]
fn what_is_wrong_is_said_before_anything_starts() {
    let any = SocketAddr::from(([127, 0, 0, 1], 0));
    let shards = Config {
        shards: 0,
        ..config(any)
    };
    let error = shardcast_engine::start(shards, |_| Mute).unwrap_err();
    assert_eq!(error.to_string(), "shards is 0: 1 to 256");
    // A documentation address (RFC 5737): no interface of this host has it.
    let foreign = SocketAddr::from(([192, 0, 2, 1], 9));
    let error = shardcast_engine::start(config(foreign), |_| Mute).unwrap_err();
    assert!(
        error
            .to_string()
            .starts_with("cannot listen on 192.0.2.1:9: "),
        "{error}"
    );
}
