//! Programs that embed the server: hooks see who a token's bearer is, wherever the token was
//! checked, and what they return is bound to the token.

use crate::signed::{SECRET, es256, es256_pair, hs256, now, with};
use crate::{asked, bearer, outcome, user_of};
use serde_json::json;
use shardcast::{
    App, Auth, Connect, Identity, KeyMaterial, Refusal, TokenAlgorithm, TokenKey, TokenRules,
};
use shardcast_tests::{Server, config};
use std::time::Duration;

fn auth(pair: &rcgen::KeyPair) -> Auth {
    let secret = KeyMaterial::Secret(SECRET.as_bytes());
    let public = pair.public_key_pem();
    let keys = [
        TokenKey::new("shared", TokenAlgorithm::Hs256, secret).expect("a secret"),
        TokenKey::new(
            "public",
            TokenAlgorithm::Es256,
            KeyMaterial::Pem(public.as_bytes()),
        )
        .expect("PEM"),
    ];
    let rules = TokenRules {
        leeway: Duration::ZERO,
        ..TokenRules::default()
    };
    Auth::optional(keys).expect("two").rules(rules)
}

/// The name that a hook makes of whom it sees; `bob` is refused.
fn decide(identity: &Identity, team: Option<&str>) -> Result<Identity, Refusal> {
    match (identity.name(), team) {
        (Some("bob"), _) => Err(Refusal::new(403, "not bob")),
        (Some(name), Some(team)) => Ok(Identity::user(format!("{team}/{name}"))?),
        (_, _) => Ok(identity.clone()),
    }
}

fn team_of(identity: &Identity) -> Option<String> {
    let claims = identity.claims()?;
    Some(claims.get("team")?.as_str()?.to_owned())
}

#[test]
fn hooks_see_the_bearer_and_have_the_last_word() {
    let pair = es256_pair();
    let on_shard = App::new()
        .auth(auth(&pair))
        .on_connect(|client: &Connect<'_>| {
            assert_eq!(client.header("Host"), Some(&b"localhost"[..]));
            assert_eq!(client.parameter("a"), Some("1"));
            let identity = client.identity();
            client.add_header("Set-Cookie", "seen=1")?;
            decide(identity, team_of(identity).as_deref())
        });
    let in_background = App::new()
        .auth(auth(&pair))
        .on_connect_async(|arrival| async move {
            let identity = arrival.identity();
            arrival.add_header("Set-Cookie", "seen=1")?;
            decide(&identity, team_of(&identity).as_deref())
        });
    for app in [on_shard, in_background] {
        let (server, _) = Server::of(app, config(2));
        let red = with("team", json!("red"));
        let bob = with("sub", json!("bob"));
        for (claims, want) in [(red, "red/ann"), (with("x", json!(1)), "ann"), (bob, "")] {
            for token in [hs256(SECRET, &claims), es256(&pair, None, &claims)] {
                let (raw, head, _) = asked(server.address(), "/ws?a=1", &bearer(&token));
                match want {
                    "" => assert!(head.starts_with("HTTP/1.1 403 "), "{head}"),
                    want => {
                        assert!(head.contains("Set-Cookie: seen=1\r\n"), "{head}");
                        assert_eq!(user_of(raw), want);
                    }
                }
            }
        }
        let (raw, _, _) = asked(server.address(), "/ws?a=1", "");
        assert_eq!(user_of(raw), "nobody");
        // A bad token is not nobody's.
        assert_eq!(
            outcome(server.address(), "/ws?a=1", &bearer("a.b.c")).0,
            401
        );
        // What the hook returns ends with the token all the same.
        let mut short = with("team", json!("red"));
        short["exp"] = json!(now() + 3);
        let tokens = [hs256(SECRET, &short), es256(&pair, None, &short)];
        let clients = tokens.map(|token| asked(server.address(), "/ws?a=1", &bearer(&token)).0);
        for mut raw in clients {
            raw.hear();
            assert_eq!(raw.closed().0, 4105);
        }
    }
}
