//! What the other tests stand on does what it says: places, links and brokers.

use crate::broker::{Broker, Kind};
use crate::link::{Link, Weather};
use crate::place::{Place, Side};
use shardcast_patience::{PATIENCE, wait_until};
use std::io::{ErrorKind, Read, Write};
use std::net::{IpAddr, Ipv4Addr, SocketAddr, TcpListener, TcpStream};
use std::time::Duration;

/// Two sockets with a link between.
fn linked() -> (Link, TcpStream, TcpStream, TcpListener) {
    let here = IpAddr::from(Ipv4Addr::LOCALHOST);
    let listener = TcpListener::bind((here, 0)).expect("a free port");
    let link = Link::before(listener.local_addr().expect("it listens"), here);
    let node = TcpStream::connect(link.address()).expect("the link listens");
    let (broker, _) = listener.accept().expect("the link connects");
    for socket in [&node, &broker] {
        socket.set_read_timeout(Some(PATIENCE)).expect("not zero");
    }
    (link, node, broker, listener)
}

fn hears(socket: &mut TcpStream, words: &[u8]) {
    let mut heard = vec![0; words.len()];
    socket.read_exact(&mut heard).expect("it passes");
    assert_eq!(heard, words);
}

#[test]
fn a_silent_link_holds_back_and_loses_nothing() {
    let (link, mut node, mut broker, _listener) = linked();
    for weather in [Weather::Fair, Weather::Slow(Duration::from_millis(20))] {
        link.set(weather);
        node.write_all(b"passes").expect("it is connected");
        hears(&mut broker, b"passes");
    }
    link.set(Weather::Silent);
    node.write_all(b"waits").expect("it is connected");
    // What does not come has no event. A short wait can only miss a fault, never invent one.
    let soon = Duration::from_millis(50);
    broker.set_read_timeout(Some(soon)).expect("not zero");
    let heard = broker.read(&mut [0; 16]);
    assert!(heard.is_err_and(|error| error.kind() == ErrorKind::WouldBlock));
    broker.set_read_timeout(Some(PATIENCE)).expect("not zero");
    link.set(Weather::Fair);
    hears(&mut broker, b"waits");
    broker.write_all(b"answers").expect("it is connected");
    hears(&mut node, b"answers");
}

#[test]
fn a_cut_link_resets_those_who_have_it_and_those_who_want_it() {
    let (link, mut node, mut broker, listener) = linked();
    link.set(Weather::Cut);
    for socket in [&mut node, &mut broker] {
        let heard = socket.read(&mut [0; 16]);
        assert!(heard.is_err_and(|error| error.kind() == ErrorKind::ConnectionReset));
    }
    let mut next = TcpStream::connect(link.address()).expect("it listens");
    assert!(matches!(next.read(&mut [0; 16]), Err(_) | Ok(0)));
    link.set(Weather::Fair);
    let mut node = TcpStream::connect(link.address()).expect("it listens");
    let (mut broker, _) = listener.accept().expect("the link connects again");
    node.write_all(b"again").expect("it is connected");
    hears(&mut broker, b"again");
}

#[test]
fn a_pulled_cable_takes_what_is_sent_over_it() {
    let place = Place::new();
    let address = SocketAddr::new(place.outside(), 0);
    let listener = TcpListener::bind(address).expect("the outer end has an address");
    let address = listener.local_addr().expect("it listens");
    if !place.pull(Side::Back) {
        // Said when the first place was made.
        return;
    }
    let greet = format!(
        "exec 3<>/dev/tcp/{}/{}; echo hello >&3",
        address.ip(),
        address.port()
    );
    let program = shardcast_patience::Program::start(place.command("bash").args(["-c", &greet]));
    let soon = Duration::from_millis(50);
    listener.set_nonblocking(true).expect("a socket");
    assert!(!shardcast_patience::is_reached_within(soon, || listener
        .accept()
        .is_ok()));
    assert!(place.plug(Side::Back));
    let mut greeted = None;
    wait_until("it comes through", || {
        greeted = listener.accept().ok();
        greeted.is_some()
    });
    let (mut socket, _) = greeted.expect("it has come");
    socket.set_nonblocking(false).expect("a socket");
    hears(&mut socket, b"hello\n");
    assert_eq!(program.end().code, Some(0));
}

#[test]
fn a_broker_comes_back_at_its_address() {
    for kind in [Kind::Nats, Kind::Redis] {
        if !kind.is_here() {
            continue;
        }
        let mut broker = Broker::start(kind);
        let address = broker.address();
        let mut client = TcpStream::connect(address).expect("it listens");
        client.set_read_timeout(Some(PATIENCE)).expect("not zero");
        broker.freeze();
        broker.thaw();
        broker.kill();
        while let Ok(1..) = client.read(&mut [0; 4096]) {}
        assert!(TcpStream::connect(address).is_err());
        broker.restart();
        TcpStream::connect(address).expect("it is back");
    }
}
