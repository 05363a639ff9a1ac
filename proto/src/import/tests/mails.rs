//! Mails: whose a value is, and texts that were encoded to be sent.

use super::*;

#[test]
fn of_a_mail_only_its_senders_values_are_taken() {
    let mail = "Received: from mx.bank.example (mx.bank.example [203.0.113.5])\n by in.bank.example\n\
        From: \"Bank\" <it@evil.example>\nTo: jan@bank.example\nCc: an@bank.example\nSubject: look\n\n\
        Go to hxxp://evil[.]example/login\n\
        QmVsZnJ5IGlzIGEgbm9kZSBmb3Igc2hhcmluZyB0aHJlYXQgaW50ZWxsaWdlbmNlIG\n";
    let found = import(Format::Text, mail);
    assert!(
        skipped(&found).iter().all(|line| line.contains("recipient") || line.contains("encoded")),
        "{found:?}"
    );
    let expected = ["email-addr it@evil.example", "url http://evil.example/login"].map(str::to_owned);
    assert_eq!(values(&objects(found)), expected.into());
}

#[test]
fn a_mails_text_is_read_whatever_it_was_sent_in_and_attachments_are_told() {
    let line = "QmVsZnJ5IGlzIGEgbm9kZSBmb3Igc2hhcmluZyB0aHJlYXQgaW50ZWxsaWdlbmNl";
    let mail = format!(
        "From: it@evil.example\nContent-Type: multipart/mixed; boundary=b1\n\n--b1\n\
        Content-Type: text/plain; charset=utf-8\nContent-Transfer-Encoding: base64\n\n\
        R28gdG8gaHR0cDovL2V2aWwuZXhhbXBsZS9sb2dpbg0Kb3IgMTk4LjUxLjEwMC43OjQ0MywgYXNr\n\
        IGNhZsOpQGV2aWwuZXhhbXBsZSBvZiBpdC4NCg==\n\n--b1\n\
        Content-Type: application/zip\nContent-Transfer-Encoding: base64\n\n{line}\n--b1\n\
        Content-Transfer-Encoding: base64\n\n!{line}\n--b1--\nevil[.]example\nevil[.]example\n"
    );
    let found = import(Format::Text, &mail);
    assert_eq!(
        skipped(&found),
        [
            "line 12 is the attachment application/zip, which is not read; paste what it says as text to have it taken",
            "line 22 stands in the file before"
        ],
        "lines keep their numbers"
    );
    let expected = [
        "domain-name evil.example",
        "email-addr café@evil.example",
        "email-addr it@evil.example",
        "ipv4-addr 198.51.100.7",
        "url http://evil.example/login",
    ];
    assert_eq!(values(&objects(found)), expected.map(str::to_owned).into());
}

#[test]
fn a_mails_broken_lines_are_put_together_before_values_are_read() {
    let mail = "From: it@evil.example\nContent-Type: multipart/mixed; boundary=b1\n\n--b1\n\
        Content-Transfer-Encoding: quoted-printable\n\nGo to http://evil.example/lo=\ngin?a=3Db=\n&c and\n\
        to bob@bank.example again=0A\nhxxp://b=C3=\n=A9.example/\n--b1\n\nhttp://c.example/?x=3D1\nhttp://c.example/?x=3D1\n";
    let found = import(Format::Text, mail);
    assert_eq!(skipped(&found), ["line 16 stands in the file before"], "lines keep their numbers");
    let expected = [
        "email-addr bob@bank.example",
        "email-addr it@evil.example",
        "url http://c.example/?x=3D1",
        "url http://evil.example/login?a=b&c",
        "url http://xn--b-bga.example/",
    ];
    assert_eq!(values(&objects(found)), expected.map(str::to_owned).into());
}

#[test]
fn only_what_a_mails_headers_name_stands_between_its_parts() {
    let mail = "From: it@evil.example\nContent-Type: multipart/mixed;\n\tBoundary=\"b 1\"\n\n--b 1\n\
        Content-Type: multipart/alternative; boundary=b2; x=y\n\n--b2\n\
        Content-Transfer-Encoding: quoted-printable\n\n--quote\n----------\nhttp://evil.example/lo=\ngin\n\
        --b2--\nContent-Transfer-Encoding: base64\n\nhttp://a.example/?x=3D1\n--b 1\n\
        Content-Type: message/rfc822\n\nContent-Type: multipart/mixed; boundary=b3\n\n--b3\n\
        Content-Transfer-Encoding: quoted-printable\n\nhttp://b.example/=\nin\n--b3--\n--b 1--\n";
    let expected = [
        "email-addr it@evil.example",
        "url http://a.example/?x=3D1",
        "url http://b.example/in",
        "url http://evil.example/login",
    ];
    assert_eq!(values(&objects(import(Format::Text, mail))), expected.map(str::to_owned).into());
}

#[test]
fn a_part_is_whole_up_to_the_line_that_ends_it_and_no_other_ends_it() {
    let mail = "From: it@evil.example\nContent-Type: multipart/mixed; boundary=b1\n\n--b1\n\
        Content-Transfer-Encoding: quoted-printable\n\n=\n--b1\n\
        Content-Transfer-Encoding: quoted-printable\n\nhttp://evil.example/login=\n--b1\n\n\
        see http://a.example/--b1/x and --b1\n--b1x http://b.example/\nhttp://c.example/\n--b1--\n";
    for mail in [mail.to_owned(), mail.replace('\n', "\r\n")] {
        let found = import(Format::Text, &mail);
        assert!(skipped(&found).is_empty(), "{mail} {:?}", skipped(&found));
        let expected = [
            "email-addr it@evil.example",
            "url http://a.example/--b1/x",
            "url http://b.example/",
            "url http://c.example/",
            "url http://evil.example/login",
        ];
        assert_eq!(values(&objects(found)), expected.map(str::to_owned).into(), "{mail}");
    }
}

#[test]
fn what_is_no_base64_stays_as_it_was() {
    let mail = "From: it@evil.example\nContent-Transfer-Encoding: base64\n\nsee http://evil.example/\r\n\r\nand (more)\r\n\
        http://evil.example/\r\n";
    let found = import(Format::Text, mail);
    assert_eq!(skipped(&found), ["line 7 stands in the file before"], "lines keep their numbers");
    let expected = ["email-addr it@evil.example", "url http://evil.example/"].map(str::to_owned);
    assert_eq!(values(&objects(found)), expected.into());
    let blank = format!(
        "From: it@evil.example\nContent-Type: multipart/mixed; boundary=b\n\n--b\n\
         Content-Transfer-Encoding: base64\n\n{}--b\n\nit@evil.example\n",
        "\n".repeat(100)
    );
    assert_eq!(
        skipped(&import(Format::Text, &blank)),
        ["line 109 stands in the file before"],
        "lines keep their numbers"
    );
}

#[test]
fn a_value_with_bytes_that_are_no_text_is_told_and_not_taken() {
    let mail = "From: it@evil.example\nContent-Transfer-Encoding: base64\n\n\
        aHR0cDovL2LpLmV4YW1wbGUvYSBhbmQgaHR0cDovL2dvb2QuZXhhbXBsZS8K\n";
    let found = import(Format::Text, mail);
    let why =
        "line 4 holds bytes that are no text in the encoding its mail says; write it out to have it taken";
    assert_eq!(skipped(&found), [why]);
    let expected = ["email-addr it@evil.example", "url http://good.example/"].map(str::to_owned);
    assert_eq!(values(&objects(found)), expected.into());
}

#[test]
fn a_part_is_read_in_the_encoding_that_it_names() {
    let mail = "From: it@evil.example\nContent-Type: multipart/mixed; boundary=b1\n\n--b1\n\
        Content-Type: text/plain;\n charset=\"ISO-8859-1\"\nContent-Transfer-Encoding: quoted-printable\n\n\
        http://b=E9.example/\n--b1\n\
        Content-Type: text/plain; charset=windows-1252\nContent-Transfer-Encoding: base64\n\n\
        gCBodHRwOi8vY+kuZXhhbXBsZS8=\n--b1\n\
        Content-Type: text/plain; charset=x-own\nContent-Transfer-Encoding: quoted-printable\n\n\
        http://b=C1.example/ http://plain.example/\n--b1--\n";
    let found = import(Format::Text, mail);
    let why =
        "line 19 holds bytes that are no text in the encoding its mail says; write it out to have it taken";
    assert_eq!(skipped(&found), [why]);
    let expected = [
        "email-addr it@evil.example",
        "url http://plain.example/",
        "url http://xn--b-bga.example/",
        "url http://xn--c-bga.example/",
    ];
    assert_eq!(values(&objects(found)), expected.map(str::to_owned).into());
}

#[test]
fn an_attachment_that_is_no_text_is_told_once_by_name_and_type_and_one_that_is_text_is_read() {
    let line = "QmVsZnJ5IGlzIGEgbm9kZSBmb3Igc2hhcmluZyB0aHJlYXQgaW50ZWxsaWdlbmNl\n".repeat(50);
    let mail = format!(
        "From: it@evil.example\nContent-Type: multipart/mixed; boundary=b1\n\n\
        This is a multi-part message.\n--b1\n\
        Content-Type: application/zip;\n name=\"a.zip\"\nContent-Transfer-Encoding: base64\n\
        Content-Disposition: attachment;\n filename*0*=utf-8''caf%C3%A9;\n filename*1=\"; 1.zip\"\n\n{line}--b1\n\
        Content-Type: application/pdf; name=\"=?utf-8?B?Y2Fmw6k=?=.pdf\"\n\n%PDF http://inside.example/\n--b1\n\
        Content-Type: text/calendar\n\nATTENDEE:mailto:jan@bank.example\n--b1\n\
        Content-Type: text/csv; name=iocs.csv\nContent-Disposition: attachment; filename=iocs.csv\n\n\
        http://listed.example/ x\n--b1--\n"
    );
    let found = import(Format::Text, &mail);
    let told = skipped(&found);
    let named = [
        "6 is the attachment \"café; 1.zip\" (application/zip)",
        "64 is the attachment \"café.pdf\" (application/pdf)",
    ];
    assert!(
        named.iter().all(|name| told.iter().any(|line| line.starts_with(&format!("line {name}, ")))),
        "{told:?}"
    );
    assert!(
        told.iter().any(|line| line.starts_with("line 68 is the attachment text/calendar, ")),
        "{told:?}"
    );
    assert!(told.iter().filter(|line| line.contains("attachment")).count() == 3, "{told:?}");
    let expected = ["email-addr it@evil.example", "url http://listed.example/"].map(str::to_owned);
    assert_eq!(values(&objects(found)), expected.into());
}

#[test]
fn parts_are_read_as_deep_as_mails_go_and_deeper_ones_are_told() {
    let nested: String =
        (0..40).map(|n| format!("Content-Type: multipart/mixed; boundary=b{n}\n\n--b{n}\n")).collect();
    let mail = format!(
        "From: it@evil.example\n{nested}\nhttp://deep.example/\n--b31\n\nhttp://middle.example/\n--b0\n\nhttp://evil.example/\n"
    );
    let found = import(Format::Text, &mail);
    assert_eq!(skipped(&found), ["line 98 lies in 32 parts around it, and deeper ones are not read"]);
    let expected = ["email-addr it@evil.example", "url http://evil.example/", "url http://middle.example/"];
    assert_eq!(values(&objects(found)), expected.map(str::to_owned).into());
}

#[test]
fn encoded_words_of_subject_and_names_are_read_across_lines() {
    let mail = "From: =?iso-8859-1?Q?Ren=E9_of_caf=E9=2Eexample?= <it@evil.example>\n\
        To: =?utf-8?Q?to=2Eexample?= <jan@bank.example>\n\
        Subject: =?utf-8?Q?go_to_http=3A//evil.exam?=\n =?utf-8?B?cGxlL2E=?=\n\t=?utf-8?Q?b_now?= http://c.example/\n\
        X-Last: =?utf-8?Q?x=2Eexample?=\n\nhttp://c.example/\n";
    let found = import(Format::Text, mail);
    let others = "is a recipient or a server of the mail's way, not its sender's";
    let expected = [2, 2, 6].map(|line| format!("line {line} {others}"));
    let told = skipped(&found);
    assert_eq!(told[..3], expected);
    assert_eq!(told[3..], ["line 8 stands in the file before"]);
    let expected = [
        "domain-name xn--caf-dma.example",
        "email-addr it@evil.example",
        "url http://c.example/",
        "url http://evil.example/ab",
    ];
    assert_eq!(values(&objects(found)), expected.map(str::to_owned).into());
}
