//! Tokens that do not count. Each differs from one that does by a single thing.

use super::forge::{AGE_S, Draft, ED, OTHER_P256, P256, P384, RSA, SHARED, SMALL_RSA, decoded, encoded};
use super::issuer::{Guarded, Issuer, NOW_S, pace};
use crate::auth::{Denied, Reason};
use serde_json::{Value, json};

type Twist = fn(&mut Draft);

/// What is wrong, what is said to it, and how it is made.
const REQUESTS: &[(&str, Denied, Twist)] = &[
    ("no header", Denied::Missing, |d| d.sent = |_| vec![]),
    ("another scheme", Denied::Missing, |d| d.sent = |token| vec![format!("Basic {token}")]),
    ("no scheme", Denied::Missing, |d| d.sent = |token| vec![token.to_owned()]),
    ("a tab for the space", Denied::Missing, |d| d.sent = |token| vec![format!("Bearer\t{token}")]),
    ("the header twice", Denied::Invalid(Reason::HeaderRepeated), |d| {
        d.sent = |token| vec![format!("Bearer {token}"), format!("Bearer {token}")];
    }),
    ("another header before it", Denied::Invalid(Reason::HeaderRepeated), |d| {
        d.sent = |token| vec!["Basic x".to_owned(), format!("Bearer {token}")];
    }),
    ("a scheme alone", Denied::Invalid(Reason::HeaderMalformed), |d| d.sent = |_| vec!["Bearer ".to_owned()]),
    ("two spaces", Denied::Invalid(Reason::HeaderMalformed), |d| d.sent = |token| vec![format!("Bearer  {token}")]),
    ("a space after it", Denied::Invalid(Reason::HeaderMalformed), |d| {
        d.sent = |token| vec![format!("Bearer {token} ")];
    }),
    ("two in one header", Denied::Invalid(Reason::HeaderMalformed), |d| {
        d.sent = |token| vec![format!("Bearer {token}, Bearer {token}")];
    }),
    ("no ASCII", Denied::Invalid(Reason::HeaderMalformed), |d| d.sent = |token| vec![format!("Bearer {token}é")]),
];

const FORMS: &[(&str, Reason, Twist)] = &[
    ("over 8 KiB", Reason::TooLong, |d| d.set("filler", "x".repeat(8 * 1024))),
    ("a part less", Reason::Malformed, |d| d.after = |token| token.rsplit_once('.').unwrap().0.to_owned()),
    ("a part more", Reason::Malformed, |d| d.after = |token| format!("{token}.e30")),
    ("five parts", Reason::Malformed, |d| d.after = |token| format!("{token}.e30.e30")),
    ("padded", Reason::Malformed, |d| d.after = |token| format!("{token}=")),
    ("base64 of the other alphabet", Reason::Malformed, |d| d.after = |token| format!("{token}+/+/")),
    ("stray bits at its end", Reason::Malformed, |d| d.after = with_stray_bits),
    ("a header that is no JSON", Reason::Malformed, |d| d.raw_header = Some("{typ:at+jwt}".to_owned())),
    ("a header that is a list", Reason::Malformed, |d| d.raw_header = Some(listed(&d.header))),
    ("claims that are a list", Reason::Malformed, |d| d.raw_claims = Some(listed(&d.claims))),
    ("claims with more behind", Reason::Malformed, |d| {
        d.raw_claims = Some(format!("{} {{}}", Value::Object(d.claims.clone())));
    }),
    ("alg twice", Reason::DuplicateMember, |d| d.raw_header = Some(doubled(&d.header, "alg", &json!("none")))),
    ("kid twice, alike", Reason::DuplicateMember, |d| {
        d.raw_header = Some(doubled(&d.header, "kid", &d.header["kid"]));
    }),
    ("tenant twice", Reason::DuplicateMember, |d| {
        d.raw_claims = Some(doubled(&d.claims, "tenant", &json!("other")));
    }),
    ("exp twice", Reason::DuplicateMember, |d| {
        d.raw_claims = Some(doubled(&d.claims, "exp", &json!(9_999_999_999_i64)))
    }),
    ("a name twice within a claim", Reason::DuplicateMember, |d| {
        let claims = Value::Object(d.claims.clone()).to_string();
        d.raw_claims = Some(claims.replacen('{', r#"{"act":{"sub":"a","sub":"b"},"#, 1));
    }),
];

const HEADERS: &[(&str, Reason, Twist)] = &[
    ("unsigned", Reason::Algorithm, |d| {
        d.set_header("alg", "none");
        d.after = |token| format!("{}.", token.rsplit_once('.').unwrap().0);
    }),
    ("unsigned, and spelled otherwise", Reason::Algorithm, |d| {
        d.set_header("alg", "nOnE");
        d.after = |token| format!("{}.", token.rsplit_once('.').unwrap().0);
    }),
    ("a secret that is published", Reason::Algorithm, |d| {
        d.set_header("alg", "HS256");
        d.set_header("kid", "shared");
        d.signer = &SHARED;
    }),
    ("a public key taken for a secret", Reason::Algorithm, |d| {
        d.set_header("alg", "HS256");
        d.after = signed_with_the_public_key;
    }),
    ("an algorithm of the key's that the issuer may not use", Reason::Algorithm, |d| {
        d.set_header("alg", "PS256");
        d.set_header("kid", "rsa");
        d.signer = &RSA;
    }),
    ("an algorithm in lower case", Reason::Algorithm, |d| {
        let lower = d.header["alg"].as_str().unwrap().to_lowercase();
        d.set_header("alg", lower);
    }),
    ("an algorithm that is a list", Reason::Algorithm, |d| d.set_header("alg", json!([d.header["alg"]]))),
    ("no algorithm", Reason::Algorithm, |d| drop(d.header.remove("alg"))),
    ("no type", Reason::Type, |d| drop(d.header.remove("typ"))),
    ("the type of any JWT", Reason::Type, |d| d.set_header("typ", "JWT")),
    ("the type of a logout token", Reason::Type, |d| d.set_header("typ", "logout+jwt")),
    ("a type that only ends like it", Reason::Type, |d| d.set_header("typ", "text/at+jwt")),
    ("an extension it needs", Reason::CriticalExtension, |d| {
        d.set_header("crit", json!(["exp"]));
        d.set_header("exp", NOW_S);
    }),
    ("an empty list of extensions", Reason::CriticalExtension, |d| d.set_header("crit", json!([]))),
    ("claims that are not encoded", Reason::CriticalExtension, |d| d.set_header("b64", false)),
    ("compressed", Reason::CriticalExtension, |d| d.set_header("zip", "DEF")),
    ("a key of its own", Reason::EmbeddedKey, |d| d.set_header("jwk", d.signer.jwk("own"))),
    ("an address of keys", Reason::EmbeddedKey, |d| d.set_header("jku", "https://evil.example.com/keys")),
    ("an address of a certificate", Reason::EmbeddedKey, |d| d.set_header("x5u", "https://evil.example.com/c")),
    ("a certificate", Reason::EmbeddedKey, |d| d.set_header("x5c", json!(["MIIB"]))),
    ("a token in a token", Reason::Nested, |d| d.set_header("cty", "JWT")),
    ("no kid", Reason::KeyId, |d| drop(d.header.remove("kid"))),
    ("an empty kid", Reason::KeyId, |d| d.set_header("kid", "")),
    ("a kid that is a number", Reason::KeyId, |d| d.set_header("kid", 1)),
    ("a kid as long as a book", Reason::KeyId, |d| d.set_header("kid", "k".repeat(257))),
];

const KEYS: &[(&str, Reason, Twist)] = &[
    ("a key nobody has", Reason::KeyUnknown, |d| d.set_header("kid", "nobodys")),
    ("a key of the other issuer", Reason::KeyUnknown, |d| signed(d, "ES256", "others", &OTHER_P256)),
    ("an RSA key of 1024 bits", Reason::KeyUnknown, |d| signed(d, "RS256", "small", &SMALL_RSA)),
    ("a key for encryption", Reason::KeyUnknown, |d| signed(d, "ES256", "for-encryption", &P256)),
    ("a key that may only sign", Reason::KeyUnknown, |d| signed(d, "ES256", "for-signing", &P256)),
    ("a key whose private half is published", Reason::KeyUnknown, |d| signed(d, "ES256", "private", &P256)),
    ("a key on a curve of another size", Reason::KeyUnfit, |d| signed(d, "ES256", "p384", &P384)),
    ("a key of another kind", Reason::KeyUnfit, |d| signed(d, "EdDSA", "p256", &ED)),
    ("a key for another algorithm", Reason::KeyUnfit, |d| signed(d, "RS256", "for-ps256", &RSA)),
];

const SIGNATURES: &[(&str, Reason, Twist)] = &[
    ("no signature", Reason::Signature, |d| d.after = |token| format!("{}.", token.rsplit_once('.').unwrap().0)),
    ("a bit of it turned", Reason::Signature, |d| d.after = |token| with_signature(&token, |bytes| bytes[3] ^= 1)),
    ("a byte of it missing", Reason::Signature, |d| {
        d.after = |token| with_signature(&token, |bytes| bytes.truncate(bytes.len() - 1));
    }),
    ("nothing but zeros", Reason::Signature, |d| d.after = |token| with_signature(&token, |bytes| bytes.fill(0))),
    ("somebody else's key under that kid", Reason::Signature, |d| signed(d, "ES256", "p256", &OTHER_P256)),
    ("claims changed after signing", Reason::Signature, |d| {
        d.after = |token| with_part(&token, 1, |json| json.replace("acme", "evil"));
    }),
    ("a header changed after signing", Reason::Signature, |d| {
        d.after = |token| with_part(&token, 0, |json| json.replacen('{', r#"{"x":1,"#, 1));
    }),
];

const CLAIMS: &[(&str, Reason, Twist)] = &[
    ("no iss", Reason::Issuer, |d| drop(d.claims.remove("iss"))),
    ("another iss", Reason::Issuer, |d| d.set("iss", "https://evil.example.com")),
    ("iss with a slash more", Reason::Issuer, |d| {
        let longer = format!("{}/", d.claims["iss"].as_str().unwrap());
        d.set("iss", longer);
    }),
    ("iss in a list", Reason::Issuer, |d| d.set("iss", json!([d.claims["iss"]]))),
    ("no aud", Reason::Audience, |d| drop(d.claims.remove("aud"))),
    ("another aud", Reason::Audience, |d| d.set("aud", "https://other.example.com")),
    ("aud longer than ours", Reason::Audience, |d| d.set("aud", format!("{}.evil.test", super::issuer::AUDIENCE))),
    ("aud of others", Reason::Audience, |d| d.set("aud", json!(["a", "b"]))),
    ("aud of nobody", Reason::Audience, |d| d.set("aud", json!([]))),
    ("aud with a number", Reason::Audience, |d| d.set("aud", json!([super::issuer::AUDIENCE, 1]))),
    ("aud within an object", Reason::Audience, |d| d.set("aud", json!({ super::issuer::AUDIENCE: true }))),
    ("no exp", Reason::Expiry, |d| drop(d.claims.remove("exp"))),
    ("exp as text", Reason::Expiry, |d| d.set("exp", (NOW_S + 300).to_string())),
    ("exp with a fraction", Reason::Expiry, |d| d.set("exp", 1_800_000_300.5)),
    ("exp of null", Reason::Expiry, |d| d.set("exp", Value::Null)),
    ("exp before all time", Reason::Expiry, |d| d.set("exp", -1)),
    ("exp after all time", Reason::Expiry, |d| d.set("exp", u64::MAX)),
    ("expired beyond the leeway", Reason::Expired, |d| d.set_time("exp", -30)),
    ("a day and a second long", Reason::Lifetime, |d| d.set_time("exp", 24 * 3600 - AGE_S + 1)),
    ("no iat", Reason::IssuedAt, |d| drop(d.claims.remove("iat"))),
    ("iat as text", Reason::IssuedAt, |d| d.set("iat", NOW_S.to_string())),
    ("iat in the future", Reason::IssuedAt, |d| d.set_time("iat", 60)),
    ("nbf in the future", Reason::NotYetValid, |d| d.set_time("nbf", 60)),
    ("nbf as text", Reason::NotYetValid, |d| d.set("nbf", "0")),
    ("no sub", Reason::Subject, |d| drop(d.claims.remove("sub"))),
    ("an empty sub", Reason::Subject, |d| d.set("sub", "")),
    ("a sub that is a number", Reason::Subject, |d| d.set("sub", 7)),
    ("no jti", Reason::TokenId, |d| drop(d.claims.remove("jti"))),
    ("an empty jti", Reason::TokenId, |d| d.set("jti", "")),
    ("no client", Reason::Client, |d| drop(d.claims.remove("client_id"))),
    ("a client that is a number", Reason::Client, |d| d.set("client_id", 7)),
    ("a client of two lines", Reason::Client, |d| d.set("client_id", "crm\nadmin")),
    ("a client as long as a book", Reason::Client, |d| d.set("client_id", "c".repeat(129))),
    ("no tenant", Reason::Tenant, |d| drop(d.claims.remove("tenant"))),
    ("a tenant that is a list", Reason::Tenant, |d| d.set("tenant", json!(["acme"]))),
    ("a tenant in upper case", Reason::Tenant, |d| d.set("tenant", "Acme")),
    ("a tenant that ends a key", Reason::Tenant, |d| d.set("tenant", "acme}")),
    ("the tenant of probes", Reason::Tenant, |d| d.set("tenant", "_")),
    ("a tenant of 64 characters", Reason::Tenant, |d| d.set("tenant", "a".repeat(64))),
    ("a tenant of others", Reason::TenantNotAllowed, |d| d.set("tenant", "evil")),
    ("a list of scopes", Reason::Scope, |d| d.set("scope", json!(["changes:write"]))),
    ("scopes with two spaces", Reason::Scope, |d| d.set("scope", "changes:write  pii:read")),
    ("a scope with a quote", Reason::Scope, |d| d.set("scope", "changes:write \"pii:read\"")),
];

#[tokio::test]
async fn a_token_with_a_single_fault_does_not_count_and_is_told_which() {
    let published = keys();
    let issuer = Issuer::publishing(published).await;
    let other = Issuer::publishing(vec![OTHER_P256.jwk("others")]).await;
    let more = format!(
        "algorithms = [\"RS256\", \"ES256\", \"ES384\", \"EdDSA\"]\ntenants = [\"acme\", \"beta\"]\n\
         [auth.issuers.other]\nurl = \"{}\"\naudience = \"{}\"\nalgorithms = [\"ES256\"]\n",
        other.url,
        super::issuer::AUDIENCE
    );
    let guarded = Guarded::ready(&issuer.url, &more, pace()).await;
    guarded.until(|_| other.count(super::issuer::KEYS) == 1).await;
    let of_tokens = [FORMS, HEADERS, KEYS, SIGNATURES, CLAIMS].into_iter().flatten();
    let of_tokens = of_tokens.map(|(name, reason, twist)| (*name, Denied::Invalid(*reason), *twist));
    let all: Vec<(&str, Denied, Twist)> = REQUESTS.iter().copied().chain(of_tokens).collect();
    assert!(all.len() >= 40, "{}", all.len());
    let mut wrong = Vec::new();
    for algorithm in ["RS256", "ES256", "EdDSA"] {
        let good = Draft::good(algorithm, &issuer.url, NOW_S);
        assert!(guarded.admit(&good).await.is_ok(), "{algorithm}: the one they differ from");
        for (name, expected, twist) in &all {
            let mut draft = Draft::good(algorithm, &issuer.url, NOW_S);
            twist(&mut draft);
            let denied = guarded.admit(&draft).await.map(|_| "let in");
            if denied != Err(*expected) {
                wrong.push(format!("{algorithm}, {name}: {denied:?}"));
            }
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

/// What the issuer publishes: keys that count, and keys with something against them.
fn keys() -> Vec<Value> {
    let with = |mut jwk: Value, name: &str, value: Value| {
        jwk[name] = value;
        jwk
    };
    vec![
        with(RSA.jwk("rsa"), "use", json!("sig")),
        with(P256.jwk("p256"), "key_ops", json!(["verify"])),
        with(P384.jwk("p384"), "alg", json!("ES384")),
        ED.jwk("ed"),
        SMALL_RSA.jwk("small"),
        SHARED.jwk("shared"),
        with(P256.jwk("for-encryption"), "use", json!("enc")),
        with(P256.jwk("for-signing"), "key_ops", json!(["sign"])),
        with(P256.jwk("private"), "d", json!("AAAA")),
        with(RSA.jwk("for-ps256"), "alg", json!("PS256")),
    ]
}

fn signed(draft: &mut Draft, algorithm: &str, kid: &str, signer: &'static super::forge::Signer) {
    draft.set_header("alg", algorithm);
    draft.set_header("kid", kid);
    draft.signer = signer;
}

fn listed(members: &serde_json::Map<String, Value>) -> String {
    json!([members]).to_string()
}

/// The members with one of them twice, `value` last.
fn doubled(members: &serde_json::Map<String, Value>, name: &str, value: &Value) -> String {
    let text = Value::Object(members.clone()).to_string();
    format!("{},\"{name}\":{value}}}", text.strip_suffix('}').unwrap())
}

fn with_signature(token: &str, change: impl Fn(&mut Vec<u8>)) -> String {
    let (message, signature) = token.rsplit_once('.').unwrap();
    let mut bytes = decoded(signature);
    change(&mut bytes);
    format!("{message}.{}", encoded(&bytes))
}

fn with_part(token: &str, at: usize, change: impl Fn(String) -> String) -> String {
    let mut parts: Vec<String> = token.split('.').map(str::to_owned).collect();
    let json = change(String::from_utf8(decoded(&parts[at])).unwrap());
    parts[at] = encoded(json.as_bytes());
    parts.join(".")
}

/// The last character of 256 or 64 bytes in base64 holds four bits that mean nothing; they have to be zero.
fn with_stray_bits(token: String) -> String {
    let last = token.chars().next_back().unwrap();
    let next = char::from(u8::try_from(last).unwrap() + 1);
    assert!("AQgw".contains(last), "{last}");
    format!("{}{next}", token.strip_suffix(last).unwrap())
}

/// What a library verifies that takes its key for whatever `alg` says (RFC 8725, 2.1).
fn signed_with_the_public_key(token: String) -> String {
    let message = token.rsplit_once('.').unwrap().0;
    let jwk = RSA.jwk("rsa");
    let key = ring::hmac::Key::new(ring::hmac::HMAC_SHA256, &decoded(jwk["n"].as_str().unwrap()));
    format!("{message}.{}", encoded(ring::hmac::sign(&key, message.as_bytes()).as_ref()))
}
