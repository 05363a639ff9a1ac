//! Mails within mails and texts: whose a value is, however the program that forwarded them shows their headers.

use base64::{Engine as _, engine::general_purpose::STANDARD};

use super::*;

/// Headers as programs show them: of a mail from `it@evil.example` to three mailboxes at `bank.example`.
const SHOWN: [&str; 7] = [
    "From: it@evil.example\nSent: Monday 3 November 2025 10:00\nTo: Jan <jan@bank.example>; an@bank.example\n\
     Cc: c@bank.example\nSubject: see http://evil.example/s",
    "Van: IT <it@evil.example>\nVerzonden: maandag 3 november 2025 10:00\nAan: jan@bank.example; an@bank.example\n\
     CC: c@bank.example\nOnderwerp: zie http://evil.example/s",
    "De : it@evil.example\nEnvoyé : lundi 3 novembre 2025 10:00\nÀ : jan@bank.example; an@bank.example\n\
     Cc : c@bank.example\nObjet : voir http://evil.example/s",
    "Von: it@evil.example\nGesendet: Montag, 3. November 2025 10:00\nAn: jan@bank.example; an@bank.example\n\
     Cc: c@bank.example\nBetreff: siehe http://evil.example/s",
    "*From:* it@evil.example\n*Date:* Monday\n*To:* jan@bank.example, an@bank.example\n\
     *Cc:* c@bank.example\n*Subject:* http://evil.example/s",
    "From: it@evil.example\nSubject: http://evil.example/s\nDate: 3 November 2025 at 10:00:00 CET\n\
     To: jan@bank.example, an@bank.example\nCc: c@bank.example",
    "Betreff: http://evil.example/s\nDatum: Mon, 3 Nov 2025 10:00:00 +0100\nVon: it@evil.example\n\
     An: jan@bank.example,\nan@bank.example\nKopie (CC): c@bank.example",
];

/// What says that a mail follows.
const ANNOUNCED: [&str; 7] = [
    "",
    "-----Original Message-----\n",
    "-----Oorspronkelijk bericht-----\n",
    "---------- Message transféré ---------\n",
    "Begin forwarded message:\n\n",
    "Début du message réexpédié :\n\n",
    "________________________________\n",
];

const OUTER: &str = "From: desk@peer.example\nTo: soc@peer.example\nSubject: FW\n";

/// Each line with these in front, or apart from the next.
fn quoted(text: &str, marks: &str) -> String {
    text.lines().map(|line| format!("{marks}{line}\n")).collect()
}

/// The values taken, and how many were told as others'.
fn taken(text: &str) -> (BTreeSet<String>, usize) {
    let found = import(Format::Text, text);
    let told = skipped(&found).iter().filter(|line| line.contains("is a recipient")).count();
    (values(&objects(found)), told)
}

fn expected(more: &[&str]) -> BTreeSet<String> {
    let all = ["email-addr it@evil.example", "url http://evil.example/login", "url http://evil.example/s"];
    all.iter().chain(more).map(|value| (*value).to_owned()).collect()
}

#[test]
fn recipients_of_a_mail_within_a_text_are_told_and_not_taken_in_any_language_and_layout() {
    for shown in SHOWN {
        let apart = shown.replace('\n', "\n\n");
        for announced in ANNOUNCED {
            for block in [shown, apart.as_str()] {
                for marks in ["", "> ", ">", "> > ", "\t"] {
                    let text = format!("Hello,\n\n{announced}{block}\n\nGo to hxxp://evil[.]example/login\n");
                    let text = quoted(&text, marks);
                    assert_eq!(taken(&text), (expected(&[]), 3), "{text}");
                    let mail = format!("{OUTER}\n{text}");
                    assert_eq!(taken(&mail), (expected(&["email-addr desk@peer.example"]), 4), "{mail}");
                }
            }
        }
    }
}

#[test]
fn recipients_in_the_header_of_a_mail_that_is_a_part_are_told_and_not_taken() {
    let inner = "Delivered-To: jan@bank.example\nReceived: from mx.bank.example ([203.0.113.5])\n by in.bank.example\n\
        X-Spam-Level: x@bank.example\nFrom: it@evil.example\nTo: an@bank.example,\n c@bank.example\n\
        Subject: see http://evil.example/s\n\nGo to hxxp://evil[.]example/login, jan@bank.example\n";
    let plain = format!("Content-Type: message/rfc822\n\n{inner}");
    let header = format!("Content-Type: text/rfc822-headers\n\n{inner}");
    let encoded = format!(
        "Content-Type: message/rfc822\nContent-Transfer-Encoding: base64\n\n{}\n",
        STANDARD.encode(inner)
    );
    let twice = format!(
        "Content-Type: message/rfc822\nContent-Transfer-Encoding: base64\n\n{}\n",
        STANDARD.encode(format!(
            "From: it@evil.example\nContent-Type: multipart/mixed; boundary=b2\n\n--b2\n{encoded}--b2--\n"
        ))
    );
    let pasted = format!("\nLook:\n\n{}", quoted(inner, "> "));
    let announced = format!("\n-----Original Message-----\n{inner}");
    for part in [plain, header, encoded, twice, pasted, announced] {
        let mail = format!("{OUTER}Content-Type: multipart/mixed; boundary=b1\n\n--b1\n{part}--b1--\n");
        let (taken, told) = taken(&mail);
        assert_eq!(taken, expected(&["email-addr desk@peer.example"]), "{mail}");
        // The outer one, three, one of them in the text too, servers by two names and an address, and what one noted.
        assert_eq!(told, 1 + 3 + 1 + 3 + 1, "{mail}");
    }
}

#[test]
fn recipients_in_a_header_that_html_shows_are_told_and_not_taken() {
    let outlook = "<html><head><style>p.x {mso-x:y;}\nto: z</style></head><body><p>FYI</p><div><p class=x><b><span\r\n\
        lang=NL>Van:</span></b> IT &lt;it@evil.example&gt;<br>\r\n<b>Verzonden:</b> maandag 3 november 2025<br>\r\n\
        <b>Aan:</b> Jan &lt;<a\r\nhref=\"mailto:jan@bank.example\">jan@bank.example</a>&gt;; &lt;an@bank.example&gt;<br>\r\n\
        <b>CC:</b> c@bank.example<br>\r\n<b>Onderwerp:</b> http://evil.example/s<o:p></o:p></p></div>\r\n<p></p>\r\n\
        <p>Go to <a href=\"http://evil.example/login\">the bank</a></p>";
    let apple = "<div>Begin forwarded message:</div><br><blockquote><div><span><b>De&nbsp;: </b></span><span>it@evil.example<br>\
        </span></div><div><b>Objet&nbsp;: </b><span>http://evil.example/s<br></span></div><div><b>Date: </b>3 novembre<br></div>\
        <div><b>&Agrave;&nbsp;: </b>jan@bank.example, <a href=\"mailto:jan@bank.example\">an@bank.example</a><br></div>\
        <div><b>Cc&nbsp;: </b>c@bank.example<br></div><br><a href=\"http://evil.example/login\"><img src=x></a>";
    for html in [outlook, apple] {
        let encoded = STANDARD.encode(html);
        for (encoding, body) in [("base64", encoded.as_str()), ("8bit", html)] {
            let mail = format!(
                "{OUTER}Content-Type: text/html; charset=utf-8\nContent-Transfer-Encoding: {encoding}\n\n{body}\n"
            );
            let expected = expected(&["email-addr desk@peer.example"]);
            assert_eq!(taken(&mail), (expected, 5), "{encoding} {html}");
        }
    }
}

#[test]
fn a_list_of_recipients_is_one_however_long_and_wherever_it_is_broken() {
    let names: Vec<String> = (0..1_000).map(|n| format!("n{n}@bank.example")).collect();
    for between in [", ", ",\n", ";\n ", ";\n"] {
        let list = names.join(between);
        let text = format!(
            "{OUTER}\n-----Original Message-----\nFrom: it@evil.example\nTo: {list}\nSubject: http://evil.example/s\n\n\
             http://evil.example/login\n"
        );
        let (taken, told) = taken(&text);
        assert_eq!((taken, told), (expected(&["email-addr desk@peer.example"]), 1_001));
    }
}

#[test]
fn what_only_looks_like_fields_is_taken() {
    for (text, count) in [
        ("Seen\nFrom: 198.51.100.7\nTo: 203.0.113.9\n", 2),
        ("--- IOCs ---\nip-dst: 198.51.100.7\nip-src: 203.0.113.9\n", 2),
        ("To: 198.51.100.7\nDate: 2025-11-03\nhttp-host: a.example\n", 2),
        ("A: 198.51.100.7\nA: 203.0.113.9\nAAAA: 2001:db8::1\n", 3),
        ("seen\n\nTo: 198.51.100.7\n\nThen\nSubject: a.example\n", 2),
        // In a mail, what stands behind its header, and a single line.
        ("From: 198.51.100.1\nSubject: x\n\nReceived: from 198.51.100.7\n\nTo: 203.0.113.9\n", 3),
        (
            "From: it@evil.example\n\nFrom: c2.example\nSubject: x\n\nip-dst: 198.51.100.7\nip-dst: 203.0.113.9\n",
            4,
        ),
        ("From: it@evil.example\n\nFrom: c2.example\nSubject: x\nip-dst: 198.51.100.7\n", 3),
    ] {
        let found = import(Format::Text, text);
        assert!(skipped(&found).is_empty(), "{text} {:?}", skipped(&found));
        assert_eq!(found.counts["indicator"], count, "{text}");
    }
}

#[test]
fn a_mailbox_that_a_mail_was_written_to_is_not_taken_from_its_text() {
    let mail = "From: it@evil.example\nTo: Jan <jan@bank.example>\nReply-To: drop@evil.example\n\n\
        Dear JAN@bank.example, write to drop@evil.example or other@evil.example.\n";
    let (taken, told) = taken(mail);
    let expected: BTreeSet<String> =
        ["drop", "it", "other"].map(|name| format!("email-addr {name}@evil.example")).into();
    assert_eq!((taken, told), (expected, 2));
}

/// Were a line, a header, the parts that are open or what is left of the mail gone through anew for each sign, line or
/// part, none of these would end; were a mail within a mail a call within a call, the stack would.
#[test]
fn a_mail_made_to_be_dear_is_read_in_one_pass() {
    let outer = "From: it@evil.example\nContent-Type: multipart/mixed; boundary=b";
    let long = format!("multipart/mixed; x={}", "y".repeat(4_000));
    let nested = "Content-Type: message/rfc822\n\n".repeat(50_000);
    let encoded = STANDARD.encode(&nested);
    for mail in [
        format!("From: it@evil.example\n{nested}"),
        format!(
            "From: it@evil.example\nContent-Type: message/rfc822\nContent-Transfer-Encoding: base64\n\n{encoded}\n"
        ),
        format!("{outer}\n\n{}", "--b\nContent-Type: multipart/mixed; boundary=z\n\n".repeat(50_000)),
        format!("{outer}\n\n--b\nContent-Type: x/y; name=\"{}\"\n", "=?aa?Q?x ".repeat(200_000)),
        format!("{outer}\n\n{}", "--b\nContent-Type: message/rfc822\n\n".repeat(50_000)),
        format!("{outer}\n\n{}", "--\n--b--\n".repeat(300_000)),
        format!("{outer}\n\n--b\nContent-Type: {long}\n{}", "--\n".repeat(700_000)),
        format!("{outer}\n\n--b\n{}", format!("Content-Type: {long}\n").repeat(500)),
        format!("{outer}\n\n--b\nContent-Disposition: x{}", ";\n filename*0*=%41".repeat(100_000)),
        format!("{outer}\n\n{}", "From: a\nTo: b\n".repeat(150_000)),
        format!("{outer}\n\n{}", "To: a\n b\n".repeat(200_000)),
        format!("{outer}\n\n{}", "> ".repeat(1_000_000)),
        format!("{outer}\n\n--b\nContent-Type: text/html\n\n{}", "<br>&<p".repeat(200_000)),
        format!("{outer}\n\n--b\nContent-Type: text/html\n\n{}", "To:<br>a<br>".repeat(100_000)),
        format!("{outer}\nSubject: {}", "=?utf-8?Q?a?=\n ".repeat(100_000)),
    ] {
        let found = import(Format::Text, &mail);
        assert!(found.counts["indicator"] >= 1);
    }
}

proptest! {
    #[test]
    fn no_recipient_becomes_an_indicator_however_a_mail_was_forwarded_and_sent(
        shown in 0..SHOWN.len(), announced in 0..ANNOUNCED.len(), depth in 0_usize..4, how in 0_u8..5,
    ) {
        let (shown, announced) = (SHOWN[shown], ANNOUNCED[announced]);
        let body = format!("Hello,\n\n{announced}{shown}\n\nGo to http://evil.example/login\n");
        let body = quoted(&body, &"> ".repeat(depth));
        let qp = |text: &str| text.bytes().map(|byte| match byte {
            b'\n' | b' '..=b'<' | b'>'..=b'~' => char::from(byte).to_string(),
            _ => format!("={byte:02X}"),
        }).collect::<String>();
        let html = body.replace('<', "&lt;").replace('>', "&gt;").replace('\n', "<br>\n");
        let (kind, encoding, body) = match how {
            0 => ("text/plain", "8bit", body),
            1 => ("text/plain", "quoted-printable", qp(&body)),
            2 => ("text/plain", "base64", STANDARD.encode(&body)),
            3 => ("text/html", "quoted-printable", qp(&html)),
            _ => ("text/html", "base64", STANDARD.encode(&html)),
        };
        let part = format!("Content-Type: {kind}; charset=utf-8\nContent-Transfer-Encoding: {encoding}\n\n{body}\n");
        let mail = format!("{OUTER}Content-Type: multipart/mixed; boundary=\"b 1\"\n\n--b 1\n{part}--b 1--\n");
        prop_assert_eq!(taken(&mail), (expected(&["email-addr desk@peer.example"]), 4), "{}", mail);
    }

    #[test]
    fn no_mail_panics_and_what_is_taken_can_be_published(
        lines in proptest::collection::vec(
            "(From|To|Content-Type|Content-Transfer-Encoding|Van|À ): ?(base64|quoted-printable|text/html|message/rfc822|multipart/x; boundary=b|application/x; name=a|=\\?utf-8\\?[BQ]\\?[a-zA-Z=]{0,5}\\?=)?|--b(--)?|[ >]{0,3}|[a-zA-Z+/=]{0,9}|<[a-z /]{1,4}>?|&[a-z#0-9]{0,4};?|\\PC{0,9}|x@evil\\.example",
            0..24,
        ),
    ) {
        let mail = format!("From: it@evil.example\n{}", lines.join("\n"));
        let mut found = import(Format::Text, &mail);
        prop_assert!(found.take_bundles().iter().all(|bundle| Bundle::parse(bundle).is_ok()));
    }
}
