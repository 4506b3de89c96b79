use super::*;
use crate::auth::tests::issuer::config;

const GOOD: &str =
    "[auth]\nmode = \"oauth2\"\n[auth.issuers.main]\nurl = \"https://id.example.com\"\naudience = \"a\"\n";

fn problems(text: &str) -> String {
    config(text).expect_err("it has problems").join("\n")
}

#[test]
fn nothing_written_is_nobody_checked() {
    let config = config("").unwrap();
    assert_eq!((config.mode, config.issuers), (Mode::Off, Vec::new()));
}

#[test]
fn an_issuer_needs_its_url_and_an_audience_and_has_the_rest() {
    let config = config(GOOD).unwrap();
    let [issuer] = config.issuers.as_slice() else { panic!("{config:?}") };
    assert_eq!((&*issuer.name, issuer.url.as_str(), &*issuer.audience), ("main", "https://id.example.com", "a"));
    assert_eq!(issuer.algorithms, [Algorithm::Rs256, Algorithm::Es256]);
    assert_eq!(issuer.client_claims, ["client_id", "azp"]);
    assert_eq!((&*issuer.tenant_claim, issuer.lifetime_max), ("tenant", LIFETIME_MAX));
    assert_eq!(issuer.mask("crm"), None);
}

#[test]
fn all_that_is_wrong_with_all_issuers_is_told_at_once() {
    let text = "[auth]\nmode = \"oauth2\"\n[auth.issuers.a]\nurl = \"http://id.example.com\"\naudience = \"x\"\n\
                algorithms = [\"RS256\", \"HS256\"]\n[auth.issuers.b]\nurl = \"https://b.example.com/?q\"\n\
                lifetime_max = \"48h\"\njwks_url = \"x\"\ncolour = \"red\"\n[auth.issuers.b.masks]\ncrm = \"email,,\"\n";
    let told = problems(text);
    for expected in [
        "auth.issuers.a.url: must begin with https://",
        "auth.issuers.a.algorithms: must name some of RS256",
        "auth.issuers.b.audience: missing",
        "auth.issuers.b.url: must have no query",
        "auth.issuers.b.lifetime_max: is \"48h\"",
        "auth.issuers.b.jwks_url: must be a URL",
        "auth.issuers.b.colour: no such key",
        "auth.issuers.b.masks.crm: must be names of fields",
    ] {
        assert!(told.contains(expected), "{expected}\n--\n{told}");
    }
}

#[test]
fn no_shared_secret_and_no_unsigned_token_can_be_allowed() {
    for name in ["HS256", "HS384", "HS512", "none", "rs256", "RSA-OAEP", ""] {
        assert!(problems(&format!("{GOOD}algorithms = [\"RS256\", \"{name}\"]")).contains("algorithms"), "{name}");
    }
    assert!(problems(&format!("{GOOD}algorithms = []")).contains("algorithms"));
}

#[test]
fn a_check_without_an_issuer_is_told() {
    assert!(problems("[auth]\nmode = \"oauth2\"").contains("[auth.issuers.main]"));
}

#[test]
fn one_issuer_under_two_names_is_told() {
    let text = format!("{GOOD}[auth.issuers.twin]\nurl = \"https://id.example.com\"\naudience = \"b\"\n");
    assert!(problems(&text).contains("auth.issuers.twin.url: is also that of another section"), "{}", problems(&text));
}

#[test]
fn masks_name_fields_and_are_for_one_client_or_for_the_others() {
    let config =
        config(&format!("{GOOD}[auth.issuers.main.masks]\n\"crm.app\" = \"email, phone\"\n\"*\" = \"city\"")).unwrap();
    let issuer = &config.issuers[0];
    assert_eq!(issuer.mask("crm.app").as_deref(), Some(&FieldMask::from_iter(["email", "phone"])));
    assert_eq!(issuer.mask("other").as_deref(), Some(&FieldMask::from_iter(["city"])));
    let mut named: Vec<&str> = config.masked_fields().collect();
    named.sort_unstable();
    assert_eq!(named, ["city", "email", "phone"]);
}

#[test]
fn without_a_check_only_this_machine_is_listened_to() {
    let open = Config { mode: Mode::Off, issuers: Vec::new() };
    let checked = Config { mode: Mode::OAuth2, issuers: Vec::new() };
    for listen in ["127.0.0.1:80", "127.3.2.1:80", "[::1]:80", "[::ffff:127.0.0.1]:80"] {
        assert_eq!(open.check_listen(listen.parse().unwrap()), Ok(()), "{listen}");
    }
    for listen in ["0.0.0.0:80", "[::]:80", "10.0.0.1:80", "[::ffff:10.0.0.1]:80"] {
        let exposed = open.check_listen(listen.parse().unwrap()).unwrap_err().to_string();
        assert!(exposed.contains("auth.mode") && exposed.contains("listen on 127.0.0.1"), "{exposed}");
        assert_eq!(checked.check_listen(listen.parse().unwrap()), Ok(()), "{listen}");
    }
}
