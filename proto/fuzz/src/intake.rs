//! What is taken in from others' files, and what is asked of it before it leaves.

use std::sync::LazyLock;

use belfry_proto::{
    guard::{self, Going, Own, Weight, personal},
    import::{Format, Import, Options},
    stix::{Bundle, Tlp, warning::Warnings},
};

/// A file, as each format: what is taken can be published, and nothing is counted that is not there.
pub fn import(bytes: &[u8]) {
    let now = "2026-11-23T10:00:00Z".parse().unwrap();
    for unmarked in [None, Some(Tlp::Amber)] {
        let options = Options { now, unmarked, ..Options::default() };
        for format in Format::ALL {
            let Ok(mut import) = Import::read(format, bytes, &options) else { continue };
            let (counts, tlp) = (import.counts.clone(), import.tlp);
            let bundles = import.take_bundles();
            let [bundle] = bundles.as_slice() else {
                panic!("{format:?} made {} bundles of so little", bundles.len())
            };
            let Ok(bundle) = Bundle::parse(bundle) else {
                // An author's own ids and texts may break rules that only the whole is held to.
                assert!(format == Format::Misp, "{format:?} made what no bundle is");
                continue;
            };
            assert!(counts.values().sum::<usize>() >= bundle.objects().len());
            if format != Format::Stix && unmarked.is_some() {
                // Each that can say a marking says one, and none narrower than what is told of all.
                let marked = bundle.objects().iter().filter(|object| object.kind() == "indicator");
                assert!(marked.clone().all(|object| !object.marking_refs().is_empty()));
                assert!(marked.count() == 0 || tlp >= unmarked.min(Some(Tlp::Clear)));
            }
        }
        let _ = Format::guess("a", bytes);
    }
}

pub fn import_seeds() -> Vec<Vec<u8>> {
    [
        "value,type,tlp\nevil[.]example,domain,green\n198.51.100.7,ip,\n",
        "IOC;Kind;Note\nhxxp://evil.example/a;url;\"a; b\"\n",
        "From: <it@evil.example>\nTo: jan@bank.example\n\nsee hxxps://evil[.]example/a, CVE-2026-0001\n",
        "From: =?iso-8859-1?Q?Ren=E9?= <it@evil.example>\nContent-Type: multipart/mixed; boundary=\"b 1\"\n\n--b 1\n\
            Content-Type: text/html; charset=windows-1252\nContent-Transfer-Encoding: quoted-printable\n\n\
            <p><b>De&nbsp;:</b> it@evil.example<br><b>=C0&nbsp;:</b> jan@bank.example<br><b>Objet&nbsp;:</b> x=\ny\n--b 1\n\
            Content-Type: message/rfc822\nContent-Transfer-Encoding: base64\n\nRnJvbTogaXRAZXZpbC5leGFtcGxlClRvOiBqYW5AYmFuay5leGFtcGxlCgpo\nZWxsbwo=\n\
            --b 1\nContent-Type: application/zip; name*=utf-8''caf%C3%A9.zip\n\nx\n--b 1--\n",
        "Look\n\n-----Oorspronkelijk bericht-----\n> Van: it@evil.example\n> Verzonden: maandag\n> Aan: jan@bank.example,\n\
            > an@bank.example\n> Onderwerp: =?utf-8?B?Y2Fmw6k=?=\n\nhttp://evil.example/\n",
        r#"{"Event":{"uuid":"298fe907-7931-4fd2-8131-2814dd493100","info":"x","date":"2026-11-20","timestamp":"1763800000",
            "distribution":"4","Orgc":{"uuid":"298fe907-7931-4fd2-8131-2814dd493101","name":"CERT"},"Tag":[{"name":"tlp:green"},{"name":"PAP:AMBER"}],
            "Attribute":[{"uuid":"298fe907-7931-4fd2-8131-2814dd493110","type":"domain|ip","value":"evil.example|198.51.100.7","to_ids":true,
              "Sighting":[{"type":"0","date_sighting":"1763800005"}]},
              {"uuid":"298fe907-7931-4fd2-8131-2814dd493111","type":"yara","value":"rule x { condition: true }","to_ids":"1"}],
            "Object":[{"name":"file","distribution":"0","Attribute":[
              {"uuid":"298fe907-7931-4fd2-8131-2814dd493112","type":"filename|md5","value":"a.exe|d41d8cd98f00b204e9800998ecf8427e"}]}],
            "Galaxy":[{"type":"mitre-attack-pattern","GalaxyCluster":[{"uuid":"298fe907-7931-4fd2-8131-2814dd493113","value":"Phishing - T1566",
              "meta":{"external_id":["T1566"]}}]}]}}"#,
        r#"{"response":[{"Event":{"uuid":"298fe907-7931-4fd2-8131-2814dd493100","Attribute":[]}}]}"#,
    ]
    .map(|text| text.as_bytes().to_vec())
    .into()
}

/// A text and, if it is one, a bundle, as the guards read them. What they say names no value, and a text that is free of
/// something is free of it with blanks around it.
pub fn guard(bytes: &[u8]) {
    static LISTS: LazyLock<Warnings> = LazyLock::new(Warnings::built_in);
    if let Ok(text) = std::str::from_utf8(bytes) {
        assert_eq!(personal(text), personal(&format!(" {text} ")));
        let _ = guard::reason(text, &Own::default());
    }
    let Ok(bundle) = Bundle::parse(bytes) else { return };
    for tlp in Tlp::ALL {
        let going = Going { tlp, is_default: false, is_near_miss: false };
        let report = guard::examine(bundle.objects(), going, &Own::default(), &LISTS);
        assert_eq!(report.gravest().is_some(), !report.objections.is_empty());
        assert!(report.objections.iter().all(|found| report.gravest() >= Some(found.weight())));
        assert!(report.objections.iter().all(|found| found.weight() <= Weight::Refused));
    }
}

pub fn guard_seeds() -> Vec<Vec<u8>> {
    let texts = [
        "mail from Jan.Peeters@bank.example, call +32 475 12 34 56 or 02/123.45.67",
        "BE68 5390 0754 7034, 4111 1111 1111 1111 and 85.07.30-033.28",
        "0.4111111111111111 sample-4111111111111111 4111-1111 1111-1111",
        "\u{ff18}\u{ff15}\u{ff10}\u{ff17}\u{ff13}\u{ff10}\u{ff10}\u{ff13}\u{ff13}\u{ff12}\u{ff18}",
    ];
    let mut seeds: Vec<Vec<u8>> = texts.map(|text| text.as_bytes().to_vec()).into();
    seeds.extend(super::content::bundle_seeds());
    seeds
}
