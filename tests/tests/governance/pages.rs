//! Notices as people and printers see them: rendered by a real browser, in every language.
//!
//! `BELFRY_PAGES=FOLDER` keeps pages, pictures and PDFs there, to be looked at.

use std::{
    env, fs,
    path::{Path, PathBuf},
    process::{Command, Stdio},
};

use belfry_node::notice::{Book, LANGUAGES, Notice, html};

const BROWSERS: [&str; 4] = ["chromium", "chromium-browser", "google-chrome", "google-chrome-stable"];

fn notice(act: &'static str, occasion: &'static str, organisation: &str) -> Notice {
    Notice {
        id: format!("7-{act}-{occasion}"),
        act,
        occasion,
        organisation: organisation.to_owned(),
        kbo: "0202239951".into(),
        lei: "529900T8BM49AURSDO55".into(),
        classes: vec!["essential", "financial"],
        sector: "banking".into(),
        member: "ab".repeat(16),
        coalition: "Cyber Security Coalition".into(),
        coalition_id: "3f".repeat(32),
        coalition_words: "bell tower ".repeat(12).trim().to_owned(),
        arrangement: "2026-11".into(),
        arrangement_link: "https://www.cybersecuritycoalition.be/arrangement/2026-11".into(),
        groups: ["CIDR", "Cloud Security", "Governance, Risk & Compliance", "CIDR Financial"]
            .map(String::from)
            .into(),
        decided: "2026-11-20T00:00:00Z".parse().unwrap(),
        effective: "2026-12-31T23:00:00Z".parse().unwrap(),
        recorded: 4711,
        entry: "9c".repeat(32),
        statement: "1d".repeat(32),
        decision: Some("Board of directors, 2026-11-20, minutes 2026/11, item 4".into()),
        since_asserted: Some("2019-03-01T00:00:00Z".parse().unwrap()),
        mandate: Some("M-2026-7".into()),
    }
}

fn installed(names: &[&str]) -> Option<PathBuf> {
    let folders = env::var_os("PATH")?;
    env::split_paths(&folders)
        .flat_map(|folder| names.iter().map(move |name| folder.join(name)))
        .find(|path| path.is_file())
}

/// Runs the browser on one page; it ends when the file is made.
fn rendered(browser: &Path, profile: &Path, what: &str, page: &Path) {
    let ran = Command::new(browser)
        .args(["--headless", "--no-sandbox", "--disable-gpu", "--hide-scrollbars", "--window-size=900,1400"])
        .args(["--no-pdf-header-footer", "--disable-background-networking", "--disable-dev-shm-usage"])
        .arg(format!("--user-data-dir={}", profile.display()))
        .args([what, &format!("file://{}", page.display())])
        .stdin(Stdio::null())
        .output()
        .unwrap();
    assert!(ran.status.success(), "{what}: {}", String::from_utf8_lossy(&ran.stderr));
}

fn unspaced(text: &str) -> String {
    text.chars().filter(|c| !c.is_whitespace()).collect()
}

fn count(bytes: &[u8], what: &[u8]) -> usize {
    bytes.windows(what.len()).filter(|window| *window == what).count()
}

#[test]
fn every_notice_prints_on_one_page_with_its_text_in_every_language() {
    let Some(browser) = installed(&BROWSERS) else {
        eprintln!("SKIPPED: no browser here; install one of {}", BROWSERS.join(", "));
        return;
    };
    let book = Book::standard().unwrap();
    let kept = env::var_os("BELFRY_PAGES").map(PathBuf::from);
    let folder = tempfile::tempdir().unwrap();
    let place = kept.clone().unwrap_or_else(|| folder.path().to_owned());
    fs::create_dir_all(&place).unwrap();
    let profile = folder.path().join("profile");
    let pdftotext = installed(&["pdftotext"]);
    if pdftotext.is_none() {
        eprintln!("SKIPPED reading the pages' text: pdftotext (poppler-utils) is not installed here");
    }
    for language in LANGUAGES {
        for (act, occasion) in
            [("nis2", "entering"), ("nis2", "leaving"), ("dora", "entering"), ("dora", "leaving")]
        {
            let notice = notice(act, occasion, "Énergie Électrique & Gaz – Régie <b>communale</b> NV/SA");
            let authority = book.authority(act, &notice.sector, notice.effective).unwrap();
            let name = place.join(format!("{act}-{occasion}.{language}"));
            let page = name.with_extension(format!("{language}.html"));
            fs::write(&page, html(&notice, authority, &book, language)).unwrap();
            let pdf = name.with_extension(format!("{language}.pdf"));
            rendered(&browser, &profile, &format!("--print-to-pdf={}", pdf.display()), &page);
            if kept.is_some() {
                let picture = name.with_extension(format!("{language}.png"));
                rendered(&browser, &profile, &format!("--screenshot={}", picture.display()), &page);
            }
            let bytes = fs::read(&pdf).unwrap();
            assert!(bytes.starts_with(b"%PDF-"), "{}", pdf.display());
            let pages = count(&bytes, b"/Type /Page\n") + count(&bytes, b"/Type /Page ");
            assert_eq!(pages, 1, "{}: a notice is one sheet of A4", pdf.display());
            assert!(count(&bytes, b"/Font") > 0, "{}: it holds text, no picture of it", pdf.display());
            let Some(pdftotext) = &pdftotext else { continue };
            // In the page's own order, and whatever a line's end did to it.
            let ran = Command::new(pdftotext).args(["-raw"]).arg(&pdf).arg("-").output().unwrap();
            let text = unspaced(&String::from_utf8(ran.stdout).unwrap());
            for said in [
                notice.organisation.as_str(),
                &notice.kbo,
                &notice.lei,
                "Cyber Security Coalition",
                "Governance, Risk & Compliance",
                "M-2026-7",
                authority.name(language),
                &book.date(language, notice.decided),
                book.text(language, &format!("title_{occasion}")),
                book.text(language, "signature"),
                &notice.entry,
            ] {
                assert!(text.contains(&unspaced(said)), "{}: {said:?} is not in\n{text}", pdf.display());
            }
        }
    }
}
