//! Which tokens are believed: every algorithm, and every rule with a token that breaks it alone.

use super::algorithm::{KeyKind, TokenAlgorithm};
use super::claims::{Purpose, Verified};
use super::fault::TokenFault;
use super::grants::RoomAction;
use super::key::{BadKey, KeyMaterial, TokenKey};
use super::keys::KeyRing;
use super::rules::{Expiry, TokenRules, unix_now};
use super::verifier::{Checking, Verifier};
use aws_lc_rs::encoding::{AsDer, Pkcs8V1Der, PublicKeyX509Der};
use aws_lc_rs::rsa::{KeyPair as RsaPair, KeySize};
use base64::Engine;
use base64::engine::general_purpose::{STANDARD, URL_SAFE_NO_PAD};
use jsonwebtoken::{EncodingKey, Header};
use rcgen::{KeyPair, PKCS_ECDSA_P256_SHA256, PKCS_ECDSA_P384_SHA384, PKCS_ED25519};
use serde_json::{Value, json};
use std::sync::{Arc, LazyLock};
use std::time::{Duration, SystemTime};

const SECRET: &[u8] = b"a secret that nobody else knows!";
const OTHER_SECRET: &[u8] = b"another secret, as long as that!";

/// A private key and its public one, in PEM.
struct Pair {
    private: String,
    public: String,
}

static RSA: LazyLock<Pair> = LazyLock::new(|| {
    let pair = RsaPair::generate(KeySize::Rsa2048).unwrap();
    let private = AsDer::<Pkcs8V1Der<'_>>::as_der(&pair).unwrap();
    let public = aws_lc_rs::signature::KeyPair::public_key(&pair);
    let public = AsDer::<PublicKeyX509Der<'_>>::as_der(public).unwrap();
    Pair {
        private: pem("PRIVATE KEY", private.as_ref()),
        public: pem("PUBLIC KEY", public.as_ref()),
    }
});

fn pem(label: &str, der: &[u8]) -> String {
    let text = STANDARD.encode(der);
    format!("-----BEGIN {label}-----\n{text}\n-----END {label}-----\n")
}

fn pair(kind: KeyKind) -> &'static Pair {
    fn of(algorithm: &'static rcgen::SignatureAlgorithm) -> Pair {
        let pair = KeyPair::generate_for(algorithm).unwrap();
        Pair {
            private: pair.serialize_pem(),
            public: pair.public_key_pem(),
        }
    }
    static P256: LazyLock<Pair> = LazyLock::new(|| of(&PKCS_ECDSA_P256_SHA256));
    static P384: LazyLock<Pair> = LazyLock::new(|| of(&PKCS_ECDSA_P384_SHA384));
    static ED25519: LazyLock<Pair> = LazyLock::new(|| of(&PKCS_ED25519));
    match kind {
        KeyKind::Secret => panic!("a secret is no pair"),
        KeyKind::Rsa => &RSA,
        KeyKind::P256 => &P256,
        KeyKind::P384 => &P384,
        KeyKind::Ed25519 => &ED25519,
    }
}

/// What checks tokens of an algorithm.
fn material(algorithm: TokenAlgorithm) -> KeyMaterial<'static> {
    match algorithm.key_kind() {
        KeyKind::Secret => KeyMaterial::Secret(SECRET),
        kind => KeyMaterial::Pem(pair(kind).public.as_bytes()),
    }
}

fn signing(algorithm: TokenAlgorithm) -> EncodingKey {
    let kind = algorithm.key_kind();
    let pem = |kind| pair(kind).private.as_bytes();
    match kind {
        KeyKind::Secret => EncodingKey::from_secret(SECRET),
        KeyKind::Rsa => EncodingKey::from_rsa_pem(pem(kind)),
        KeyKind::P256 | KeyKind::P384 => EncodingKey::from_ec_pem(pem(kind)),
        KeyKind::Ed25519 => EncodingKey::from_ed_pem(pem(kind)),
    }
    .unwrap()
}

fn sign(algorithm: TokenAlgorithm, claims: &Value) -> String {
    let header = Header::new(algorithm.in_library());
    jsonwebtoken::encode(&header, claims, &signing(algorithm)).unwrap()
}

/// A token with this header and these claims, and any signature.
fn put_together(header: &Value, claims: &[u8], signature: &str) -> String {
    let header = URL_SAFE_NO_PAD.encode(header.to_string());
    let claims = URL_SAFE_NO_PAD.encode(claims);
    format!("{header}.{claims}.{signature}")
}

fn claims() -> Value {
    let now = unix_now();
    json!({"sub": "ann", "iat": now, "exp": now + 600, "roles": ["moderator"]})
}

fn with(name: &str, value: Value) -> Value {
    let mut claims = claims();
    claims[name] = value;
    claims
}

fn key(algorithm: TokenAlgorithm) -> TokenKey {
    TokenKey::new("main", algorithm, material(algorithm)).unwrap()
}

fn verifier_of(keys: Vec<TokenKey>, rules: TokenRules) -> Arc<Verifier> {
    Arc::new(Verifier::new(KeyRing::new(keys, Vec::new()), rules))
}

fn verifier(algorithm: TokenAlgorithm) -> Arc<Verifier> {
    verifier_of(vec![key(algorithm)], TokenRules::default())
}

#[track_caller]
fn check(verifier: &Verifier, token: &str, want: Result<(), TokenFault>) {
    let verified = verifier.verify(token, Purpose::Connection);
    assert_eq!(verified.map(|_| ()), want, "{token}");
}

#[test]
fn a_token_of_every_algorithm_is_taken_with_the_key_of_its_own_alone() {
    for algorithm in TokenAlgorithm::ALL {
        let token = sign(algorithm, &claims());
        let verified = verifier(algorithm).verify(&token, Purpose::Connection);
        let Ok(Verified::Connection(claims)) = verified else {
            panic!("{}: {verified:?}", algorithm.name());
        };
        assert_eq!(claims.user(), Some("ann"));
        assert_eq!(claims.roles(), [Box::<str>::from("moderator")]);
        for other in TokenAlgorithm::ALL {
            if other != algorithm {
                check(&verifier(other), &token, Err(TokenFault::Algorithm));
            }
        }
    }
}

/// The public key of RSA is known to everybody: whoever signs with it as if it were a secret must
/// not be believed, whatever the token says of itself.
#[test]
fn the_token_does_not_choose_how_it_is_checked() {
    let verifier = verifier(TokenAlgorithm::Rs256);
    let public = RSA.public.as_bytes();
    let forged = jsonwebtoken::encode(
        &Header::new(jsonwebtoken::Algorithm::HS256),
        &claims(),
        &EncodingKey::from_secret(public).unwrap(),
    );
    check(&verifier, &forged.unwrap(), Err(TokenFault::Algorithm));
    let claims = claims().to_string();
    for name in [
        "none", "None", "NONE", "", "hs256", "HS256 ", "ES512", "RS1",
    ] {
        let token = put_together(&json!({ "alg": name }), claims.as_bytes(), "");
        check(&verifier, &token, Err(TokenFault::Algorithm));
    }
    // A key that is named so by the configuration takes no PEM for a secret.
    let bad = TokenKey::new("main", TokenAlgorithm::Hs256, KeyMaterial::Secret(public));
    assert_eq!(bad.map(|_| ()), Err(BadKey::SecretIsPem));
}

#[test]
fn a_signature_must_be_right_to_the_last_bit() {
    for algorithm in TokenAlgorithm::ALL {
        let verifier = verifier(algorithm);
        let token = sign(algorithm, &claims());
        let (signed, signature) = token.rsplit_once('.').unwrap();
        let mut bytes = URL_SAFE_NO_PAD.decode(signature).unwrap();
        *bytes.last_mut().unwrap() ^= 1;
        let flipped = URL_SAFE_NO_PAD.encode(&bytes);
        let other = sign(algorithm, &with("sub", json!("bob")));
        let (other, _) = other.rsplit_once('.').unwrap();
        for token in [
            format!("{signed}.{flipped}"),
            format!("{signed}."),
            format!("{signed}.AAAA"),
            format!("{signed}.!"),
            format!("{other}.{signature}"),
        ] {
            check(&verifier, &token, Err(TokenFault::Signature));
        }
    }
}

#[test]
fn what_is_no_token_is_told_apart() {
    let verifier = verifier(TokenAlgorithm::Hs256);
    let header = json!({"alg": "HS256"});
    let deep = format!("{}{}", "[".repeat(100_000), "]".repeat(100_000));
    let long = "x".repeat(TokenRules::default().token_bytes_max + 1);
    let three = TokenFault::Malformed("a signed token has three parts");
    let bad_header =
        TokenFault::Malformed("its header is no JSON object with alg, and kid a string");
    for (token, want) in [
        (String::new(), three),
        ("a.b".into(), three),
        ("a.b.c.d.e".into(), three),
        (long, TokenFault::TooLong),
        (deep, TokenFault::TooLong),
        (
            "=.b.c".into(),
            TokenFault::Malformed("its header is not base64url"),
        ),
        (put_together(&json!(1), b"{}", ""), bad_header),
        (put_together(&json!({}), b"{}", ""), bad_header),
        (put_together(&json!({"alg": 1}), b"{}", ""), bad_header),
        (
            put_together(&json!({"alg": "HS256", "kid": 1}), b"{}", ""),
            bad_header,
        ),
        (
            put_together(&json!({"alg": "HS256", "crit": ["b64"]}), b"{}", ""),
            TokenFault::Critical,
        ),
        (put_together(&header, b"{}", ""), TokenFault::Signature),
    ] {
        check(&verifier, &token, Err(want));
    }
    let is_no_object = TokenFault::Malformed("its claims are no JSON object");
    for claims in [json!(1), json!([]), json!("x")] {
        check(
            &verifier,
            &sign(TokenAlgorithm::Hs256, &claims),
            Err(is_no_object),
        );
    }
}

#[test]
fn claims_have_their_types_and_times() {
    let now = unix_now();
    let many: Vec<String> = (0..65).map(|n| n.to_string()).collect();
    for algorithm in [TokenAlgorithm::Hs256, TokenAlgorithm::Es256] {
        let verifier = verifier(algorithm);
        for (name, value, want) in [
            ("exp", json!(null), Err(TokenFault::MissingClaim("exp"))),
            ("exp", json!("soon"), Err(TokenFault::MalformedClaim("exp"))),
            ("exp", json!(-1), Err(TokenFault::MalformedClaim("exp"))),
            ("exp", json!(1e300), Err(TokenFault::MalformedClaim("exp"))),
            ("exp", json!(0), Err(TokenFault::Expired)),
            ("exp", json!(now - 31), Err(TokenFault::Expired)),
            ("exp", json!(now - 20), Ok(())),
            ("exp", json!(now as f64 + 60.5), Ok(())),
            ("nbf", json!(now + 20), Ok(())),
            ("nbf", json!(now + 60), Err(TokenFault::NotYetValid("nbf"))),
            ("nbf", json!("now"), Err(TokenFault::MalformedClaim("nbf"))),
            ("iat", json!(now + 60), Err(TokenFault::NotYetValid("iat"))),
            ("iat", json!(null), Ok(())),
            ("sub", json!(7), Err(TokenFault::MalformedClaim("sub"))),
            (
                "sub",
                json!("x".repeat(1_000)),
                Err(TokenFault::MalformedClaim("sub")),
            ),
            ("sub", json!(""), Ok(())),
            (
                "roles",
                json!("moderator"),
                Err(TokenFault::MalformedClaim("roles")),
            ),
            (
                "roles",
                json!([1]),
                Err(TokenFault::MalformedClaim("roles")),
            ),
            (
                "roles",
                json!(many),
                Err(TokenFault::MalformedClaim("roles")),
            ),
            (
                "rooms",
                json!({"jion": []}),
                Err(TokenFault::MalformedClaim("rooms")),
            ),
            (
                "limits",
                json!(["a"]),
                Err(TokenFault::MalformedClaim("limits")),
            ),
            ("jti", json!(1), Err(TokenFault::MalformedClaim("jti"))),
            ("aud", json!("us"), Err(TokenFault::Audience)),
            ("aud", json!([1]), Err(TokenFault::MalformedClaim("aud"))),
            ("room", json!("a"), Err(TokenFault::Purpose)),
            ("channel", json!("a"), Err(TokenFault::Purpose)),
            ("anything", json!([1, {"else": 2}]), Ok(())),
        ] {
            let token = sign(algorithm, &with(name, value));
            check(&verifier, &token, want);
        }
    }
}

#[test]
fn issuer_and_audience_are_those_that_are_configured() {
    let rules = TokenRules {
        issuers: vec!["us".into(), "them".into()],
        audiences: vec!["chat".into()],
        expiry: Expiry::Optional,
        ..TokenRules::default()
    };
    let verifier = verifier_of(vec![key(TokenAlgorithm::Hs256)], rules);
    for (claims, want) in [
        (json!({"iss": "us", "aud": "chat"}), Ok(())),
        (json!({"iss": "them", "aud": ["mail", "chat"]}), Ok(())),
        (json!({"iss": "us"}), Err(TokenFault::MissingClaim("aud"))),
        (
            json!({"iss": "us", "aud": []}),
            Err(TokenFault::MissingClaim("aud")),
        ),
        (
            json!({"iss": "us", "aud": "mail"}),
            Err(TokenFault::Audience),
        ),
        (json!({"iss": "US", "aud": "chat"}), Err(TokenFault::Issuer)),
        (json!({"aud": "chat"}), Err(TokenFault::MissingClaim("iss"))),
    ] {
        let token = sign(TokenAlgorithm::Hs256, &claims);
        check(&verifier, &token, want);
    }
}

#[test]
fn a_key_is_found_by_its_kid_or_by_its_algorithm() {
    let of = |name: &str, secret| {
        let key = TokenKey::new(name, TokenAlgorithm::Hs256, KeyMaterial::Secret(secret));
        key.unwrap().with_key_id(name)
    };
    let keys = vec![
        of("a", SECRET),
        of("b", OTHER_SECRET),
        key(TokenAlgorithm::Rs256),
    ];
    let verifier = verifier_of(keys, TokenRules::default());
    let signed = |kid: Option<&str>, secret: &[u8]| {
        let mut header = Header::new(jsonwebtoken::Algorithm::HS256);
        header.kid = kid.map(str::to_owned);
        let key = EncodingKey::from_secret(secret).unwrap();
        jsonwebtoken::encode(&header, &claims(), &key).unwrap()
    };
    for (kid, secret, want) in [
        (Some("a"), SECRET, Ok(())),
        (Some("b"), OTHER_SECRET, Ok(())),
        (Some("a"), OTHER_SECRET, Err(TokenFault::Signature)),
        // The key of RSA looks at no kid, but has another algorithm.
        (Some("c"), SECRET, Err(TokenFault::Algorithm)),
        (None, SECRET, Ok(())),
        (None, OTHER_SECRET, Ok(())),
    ] {
        check(&verifier, &signed(kid, secret), want);
    }
    let verifier = verifier_of(vec![of("a", SECRET)], TokenRules::default());
    check(
        &verifier,
        &signed(Some("c"), SECRET),
        Err(TokenFault::UnknownKey),
    );
}

#[test]
fn what_a_key_had_before_is_taken_until_its_moment() {
    let now = SystemTime::now();
    for (until, want) in [
        (now + Duration::from_secs(60), Ok(())),
        (now - Duration::from_secs(1), Err(TokenFault::Signature)),
    ] {
        let key = TokenKey::new(
            "main",
            TokenAlgorithm::Hs256,
            KeyMaterial::Secret(OTHER_SECRET),
        );
        let key = key
            .unwrap()
            .with_previous(KeyMaterial::Secret(SECRET), until);
        let verifier = verifier_of(vec![key.unwrap()], TokenRules::default());
        check(&verifier, &sign(TokenAlgorithm::Hs256, &claims()), want);
    }
}

#[test]
fn a_key_takes_the_material_of_its_algorithm_alone() {
    let small = |bytes: usize| {
        TokenKey::new(
            "k",
            TokenAlgorithm::Hs256,
            KeyMaterial::Secret(&vec![b'x'; bytes]),
        )
    };
    for (bytes, want) in [
        (0, Err(BadKey::SecretLength)),
        (31, Err(BadKey::SecretLength)),
        (32, Ok(())),
        (4096, Ok(())),
        (4097, Err(BadKey::SecretLength)),
    ] {
        assert_eq!(small(bytes).map(|_| ()), want, "{bytes}");
    }
    for algorithm in TokenAlgorithm::ALL {
        for other in TokenAlgorithm::ALL {
            let made = TokenKey::new("k", algorithm, material(other));
            let is_same = algorithm.key_kind() == other.key_kind();
            assert_eq!(
                made.is_ok(),
                is_same,
                "{} {}",
                algorithm.name(),
                other.name()
            );
        }
        let pem = KeyMaterial::Pem(b"-----BEGIN PUBLIC KEY-----\nAAAA\n-----END PUBLIC KEY-----\n");
        assert!(
            TokenKey::new("k", algorithm, pem).is_err(),
            "{}",
            algorithm.name()
        );
    }
    let shown = format!("{:?}", key(TokenAlgorithm::Hs256));
    assert_eq!(
        shown,
        r#"TokenKey { name: "main", algorithm: "HS256", .. }"#
    );
}

#[tokio::test]
async fn signatures_with_public_keys_are_checked_later_and_once() {
    let verifier = verifier(TokenAlgorithm::Es256);
    let token = sign(TokenAlgorithm::Es256, &claims());
    let Checking::Later(later) = verifier.begin(&token, Purpose::Connection) else {
        panic!("that takes long");
    };
    assert!(later.finish().await.is_ok());
    let Checking::Done(Ok(_)) = verifier.begin(&token, Purpose::Connection) else {
        panic!("it is known");
    };
    // Known or not, it is no room's token.
    let Checking::Done(Err(TokenFault::Purpose)) = verifier.begin(&token, Purpose::Room) else {
        panic!("a connection's token");
    };
    // What the keys of before have signed is checked again.
    verifier.replace_keys(KeyRing::new(vec![key(TokenAlgorithm::Es384)], Vec::new()));
    let Checking::Done(Err(TokenFault::Algorithm)) = verifier.begin(&token, Purpose::Connection)
    else {
        panic!("no key has its algorithm");
    };
    let bad = format!("{token}x");
    verifier.replace_keys(KeyRing::new(vec![key(TokenAlgorithm::Es256)], Vec::new()));
    let Checking::Later(later) = verifier.begin(&bad, Purpose::Connection) else {
        panic!("that takes long");
    };
    assert_eq!(later.finish().await.map(|_| ()), Err(TokenFault::Signature));
}

#[test]
fn claims_carry_grants_limits_and_everything_else() {
    let claims = json!({
        "sub": "ann", "exp": unix_now() + 60, "jti": "t-1", "limits": "gold",
        "rooms": {"join": ["chat:*"], "history": ["news"]},
        "info": {"color": "red"},
    });
    let token = sign(TokenAlgorithm::Hs256, &claims);
    let verified = verifier(TokenAlgorithm::Hs256).verify(&token, Purpose::Connection);
    let Ok(Verified::Connection(read)) = verified else {
        panic!("{verified:?}");
    };
    assert!(read.grants().has(RoomAction::Join, "chat:a"));
    assert!(!read.grants().has(RoomAction::Publish, "chat:a"));
    assert_eq!((read.id(), read.limits()), (Some("t-1"), Some("gold")));
    assert_eq!(read.get("info"), Some(&json!({"color": "red"})));
    assert_eq!(read.get("sub"), None);
}
