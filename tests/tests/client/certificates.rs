//! Certificates: those of servers that change while clients are connected, and those that clients
//! show.

use crate::scene::{Seen, connect, quick, run, serve};
use serde_json::json;
use shardcast_client::{
    Authorities, Client, ErrorKind, Identity, Options, State, SubscribeOptions, Tls,
};
use shardcast_tests::{Certificates, Served, wait_until};
use std::fs;

pub(crate) fn trusting(certificates: &Certificates, identity: Option<Identity>) -> Options {
    Options {
        tls: Tls {
            authorities: Authorities::File(certificates.file("authority.pem").into()),
            identity,
        },
        ..quick()
    }
}

/// Gives a server other certificates, for the same names by another authority.
pub(crate) fn renew(served: &Served, old: &Certificates, new: &Certificates) {
    // The key first: between the two the server keeps what it has.
    for file in [
        "localhost.key",
        "localhost.pem",
        "other.test.key",
        "other.test.pem",
    ] {
        fs::copy(new.file(file), old.file(file)).expect("a file");
    }
    served.hang_up();
    wait_until("it reads them", || served.metric("tls_reloads_total") == 1);
}

/// Lets clients that trust the old authority trust the new one instead.
pub(crate) fn trust_anew(old: &Certificates, new: &Certificates) {
    fs::copy(new.file("authority.pem"), old.file("authority.pem")).expect("a file");
}

#[test]
fn a_server_that_changes_its_certificate_is_followed_by_the_authority() {
    let (old, new) = (Certificates::make(), Certificates::make());
    let served = serve(&old.toml());
    let address = format!("wss://localhost:{}/ws", served.address("wss").port());
    run(async {
        let client = Client::connect(&address, trusting(&old, None)).expect("good options");
        let publisher = connect(served.address("ws"), quick());
        let mut heard = client
            .subscribe("chat:renewed", SubscribeOptions::default())
            .expect("open");
        heard.joined().await.expect("it joins");
        let mut seen = Seen::default();
        publisher
            .publish("chat:renewed", &1_u64)
            .await
            .expect("published");
        seen.until(&mut heard, 1).await;
        renew(&served, &old, &new);
        let connection = client.connection().expect("connected");
        let call = json!({"connection": connection, "code": 1012, "reason": "again"});
        assert_eq!(served.call("/api/disconnect", &call.to_string()).0, 200);
        // Nobody that it trusts vouches for the new one.
        let mut status = client.status();
        let untrusted = status
            .wait_for(|status| status.attempt >= 3)
            .await
            .expect("it lives");
        let error = untrusted.error.clone().expect("it failed");
        assert_eq!(error.kind(), ErrorKind::Connect, "{error}");
        drop(untrusted);
        publisher
            .publish("chat:renewed", &2_u64)
            .await
            .expect("published");
        trust_anew(&old, &new);
        publisher
            .publish("chat:renewed", &3_u64)
            .await
            .expect("published");
        seen.until(&mut heard, 3).await;
        seen.assert_all(3);
        assert_eq!(seen.recovered, 1);
        client.close().await;
    });
}

#[test]
fn a_client_shows_its_certificate_where_it_must() {
    let certificates = Certificates::make();
    let served = serve(&format!(
        "{}client_certificates = \"required\"\nclient_ca = \"{}\"\n",
        certificates.toml(),
        certificates.file("authority.pem")
    ));
    let address = format!("wss://localhost:{}/ws", served.address("wss").port());
    run(async {
        let identity = Identity {
            certificates: certificates.file("other.test.pem").into(),
            key: certificates.file("other.test.key").into(),
        };
        let options = trusting(&certificates, Some(identity));
        let known = Client::connect(&address, options).expect("good options");
        known.ready().await.expect("it connects");
        known.ping().await.expect("a pong");
        let nobody =
            Client::connect(&address, trusting(&certificates, None)).expect("good options");
        let mut status = nobody.status();
        let refused = status.wait_for(|status| status.attempt >= 2).await;
        drop(refused.expect("it lives"));
        assert_eq!(nobody.state(), State::Connecting);
    });
}
