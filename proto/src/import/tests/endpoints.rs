//! Hosts with their ports, and fingerprints that are no file's.

use super::*;

/// Name, pattern and id of each indicator.
fn indicators(objects: &[Object]) -> BTreeSet<(String, String, String)> {
    let all = objects.iter().filter(|object| object.kind() == "indicator").map(Object::properties);
    all.map(|said| ["name", "pattern", "id"].map(|name| said[name].as_str().unwrap().to_owned()).into())
        .collect()
}

#[test]
fn a_host_with_its_port_is_that_host_in_every_format_and_its_port_is_told() {
    let named = |host: &str| {
        let patterns = [
            ("198.51.100.7:443", "[ipv4-addr:value = '198.51.100.7']"),
            ("198.51.100.7:8443", "[ipv4-addr:value = '198.51.100.7']"),
            ("evil.example:8080", "[domain-name:value = 'evil.example']"),
            ("[2001:db8::1]:443", "[ipv6-addr:value = '2001:db8::1']"),
        ];
        patterns.iter().find(|(name, _)| *name == host).map(|(_, pattern)| (*pattern).to_owned())
    };
    let prose = "C2 at 198[.]51[.]100[.]7[:]443, 198.51.100.7:8443 and [2001:db8::1]:443; 198.51.100.7:443 again\n\
        evil[.]example:8080\nmain.rs:42\n";
    let bare = "value\n198[.]51.100.7:443\n198.51.100.7:8443\n[2001:DB8::1]:443\nevil.example:8080\n198.51.100.7:443\n";
    let typed = "value,type\n198.51.100.7|443,ip-dst|port\n198.51.100.7:8443,ip:port\n[2001:db8::1]:443,ip\n\
        evil.example|8080,hostname|port\n198.51.100.7:443,url\nevil.example:8080,ip\n";
    let event = event(
        &json!([
            attribute(10, "ip-dst|port", "198.51.100.7|443", &json!({})),
            attribute(11, "ip-dst", "198.51.100.7:8443", &json!({})),
            attribute(12, "ip-src|port", "2001:db8::1|443", &json!({})),
            attribute(13, "hostname|port", "evil.example|8080", &json!({})),
            attribute(14, "ip-dst", "evil.example:8080", &json!({})),
        ]),
        &json!({}),
    );
    for (format, text, told) in [
        (Format::Text, prose, ["line 1 stands in the file before", "line 3 may be a file's name"].as_slice()),
        (Format::Csv, bare, &["line 6 stands in the file before"]),
        (Format::Csv, typed, &["line 6 stands in the file before", "line 7 is not a value of its type, ip"]),
        (Format::Misp, event.as_str(), &["Event.Attribute[4] is not a value of its type, ip-dst"]),
    ] {
        let found = import(format, text);
        let skipped = skipped(&found);
        assert_eq!(skipped.len(), told.len(), "{skipped:?}");
        assert!(skipped.iter().zip(told).all(|(skipped, told)| skipped.starts_with(*told)), "{skipped:?}");
        let found = indicators(&objects(found));
        assert_eq!(found.len(), 4, "{found:?}");
        let ids: BTreeSet<&String> = found.iter().map(|(.., id)| id).collect();
        assert_eq!(ids.len(), 4, "each port by itself");
        for (name, pattern, _) in &found {
            assert_eq!(named(name).as_ref(), Some(pattern), "{name}");
        }
    }
    let seen = attribute(10, "ip-dst|port", "198.51.100.7|443", &json!({"to_ids": false}));
    let objects = objects(import(Format::Misp, &event_of(seen)));
    let seen = objects.iter().find(|object| object.kind() == "observed-data").unwrap();
    assert_eq!(seen.properties()["labels"], json!(["port:443"]));
}

fn event_of(attribute: Value) -> String {
    event(&json!([attribute]), &json!({}))
}

#[test]
fn the_fingerprint_of_a_certificate_is_a_certificates_and_is_found_by_lookup() {
    let (sha1, sha256) = ("ab".repeat(20), "cd".repeat(32));
    let object = json!({"name": "x509", "Attribute": [
        attribute(11, "x509-fingerprint-sha256", &sha256, &json!({"to_ids": false})),
        attribute(12, "ja3-fingerprint-md5", &"ef".repeat(16), &json!({})),
    ]});
    let event = event(
        &json!([attribute(10, "x509-fingerprint-sha1", &sha1, &json!({}))]),
        &json!({"Object": [object]}),
    );
    let table = format!(
        "value,type\n{sha1},x509-fingerprint-sha1\n{sha256},x509-fingerprint-sha256\nx,x509-fingerprint-md5\n"
    );
    for (format, text, told) in [
        (
            Format::Misp,
            event,
            "Event.Object[0].Attribute[1] is a fingerprint of type ja3-fingerprint-md5, which lookup and lists have no place for",
        ),
        (Format::Csv, table, "line 4 is not a value of its type, x509-fingerprint-md5"),
    ] {
        let found = import(format, &text);
        assert_eq!(skipped(&found), [told]);
        let objects = objects(found);
        assert_eq!(values(&objects), [format!("sha1 {sha1}"), format!("sha256 {sha256}")].into());
        let pattern = format!("[x509-certificate:hashes.'SHA-1' = '{sha1}']");
        assert!(indicators(&objects).iter().any(|(_, said, _)| *said == pattern));
        assert_eq!(objects.iter().filter(|object| object.kind() == "x509-certificate").count(), 2);
        assert!(objects.iter().all(|object| object.kind() != "file"));
        objects.iter().for_each(|object| crate::stix::strict::check(object).unwrap());
    }
}

#[test]
fn a_file_and_a_certificate_of_one_hash_are_two_rows_of_a_table() {
    let sha1 = "ab".repeat(20);
    let found = import(
        Format::Csv,
        &format!(
            "value,type\n{sha1},sha1\n{sha1},x509-fingerprint-sha1\n{sha1},sha1\n{sha1},x509-fingerprint-sha1\n"
        ),
    );
    assert_eq!(skipped(&found), ["line 4 stands in the file before", "line 5 stands in the file before"]);
    let kinds: Vec<(usize, &str)> = ["file", "x509-certificate", "indicator"]
        .map(|kind| (found.counts.get(kind).copied().unwrap_or_default(), kind))
        .into();
    assert_eq!(kinds, [(1, "file"), (1, "x509-certificate"), (2, "indicator")]);
}
