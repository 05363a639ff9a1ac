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
        ["line 15 is encoded; paste it as text", "line 22 stands in the file before"],
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
fn what_is_no_base64_stays_as_it_was() {
    let mail = "From: it@evil.example\nContent-Transfer-Encoding: base64\n\nsee http://evil.example/\r\n\r\nand (more)\r\n";
    assert_eq!(mail::decoded(mail), mail);
    let blank = format!("From: it@evil.example\nContent-Transfer-Encoding: base64\n\n{}", "\n".repeat(100));
    assert_eq!(mail::decoded(&blank), blank, "lines keep their numbers");
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
