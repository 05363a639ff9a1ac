//! Notices, and the board's report, as people and printers see them: rendered by a real browser, in every language.
//!
//! `BELFRY_PAGES=FOLDER` keeps pages, pictures and PDFs there, to be looked at.

use std::{
    env, fs,
    path::{Path, PathBuf},
    process::{Command, Stdio},
};

use belfry_node::notice::{Book, LANGUAGES, Notice, Report, Share, html};
use belfry_tests::process::skipped;

const BROWSERS: [&str; 4] = ["chromium", "chromium-browser", "google-chrome", "google-chrome-stable"];

fn notice(act: &'static str, occasion: &'static str, organisation: &str) -> Notice {
    Notice {
        id: format!("7-{act}-{occasion}"),
        key: format!("{}-{act}-{occasion}", "1d".repeat(32)),
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
        made: "2026-11-20T23:10:00Z".parse().unwrap(),
        recorded: 4711,
        entry: "9c".repeat(32),
        statement: "1d".repeat(32),
        decision: Some("Board of directors, 2026-11-20, minutes 2026/11, item 4".into()),
        since_asserted: Some("2019-03-01T00:00:00Z".parse().unwrap()),
        mandate: Some("M-2026-7".into()),
        minutes: None,
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

/// A browser, where pages go, and what reads their text.
struct Press {
    browser: PathBuf,
    pdftotext: Option<PathBuf>,
    folder: tempfile::TempDir,
    kept: Option<PathBuf>,
}

impl Press {
    /// Nothing where no browser is installed, which it says.
    fn open() -> Option<Self> {
        let Some(browser) = installed(&BROWSERS) else {
            skipped(&format!("printed pages: no browser here; install one of {}", BROWSERS.join(", ")));
            return None;
        };
        let pdftotext = installed(&["pdftotext"]);
        if pdftotext.is_none() {
            skipped("the printed pages' text: pdftotext (poppler-utils) is not installed here");
        }
        let kept = env::var_os("BELFRY_PAGES").map(PathBuf::from);
        if let Some(place) = &kept {
            fs::create_dir_all(place).unwrap();
        }
        Some(Self { browser, pdftotext, folder: tempfile::tempdir().unwrap(), kept })
    }

    /// Prints a page on one sheet, and finds all of `said` in it; gives its text as it is set, where that can be read.
    fn prints(&self, name: &str, html: &str, said: &[&str]) -> Option<String> {
        let place = self.kept.as_deref().unwrap_or_else(|| self.folder.path());
        let profile = self.folder.path().join("profile");
        let file = |kind: &str| place.join(format!("{name}.{kind}"));
        let (page, pdf) = (file("html"), file("pdf"));
        fs::write(&page, html).unwrap();
        rendered(&self.browser, &profile, &format!("--print-to-pdf={}", pdf.display()), &page);
        if self.kept.is_some() {
            let picture = format!("--screenshot={}", file("png").display());
            rendered(&self.browser, &profile, &picture, &page);
        }
        let bytes = fs::read(&pdf).unwrap();
        assert!(bytes.starts_with(b"%PDF-"), "{}", pdf.display());
        let pages = count(&bytes, b"/Type /Page\n") + count(&bytes, b"/Type /Page ");
        assert_eq!(pages, 1, "{}: it is one sheet of A4", pdf.display());
        assert!(count(&bytes, b"/Font") > 0, "{}: it holds text, no picture of it", pdf.display());
        let pdftotext = self.pdftotext.as_ref()?;
        // In the page's own order, and whatever a line's end did to it.
        let ran = Command::new(pdftotext).args(["-raw"]).arg(&pdf).arg("-").output().unwrap();
        let set = String::from_utf8(ran.stdout).unwrap();
        assert!(!set.contains(['{', '}']), "{}: a text's part that nobody filled in: {set}", pdf.display());
        let text = unspaced(&set);
        for part in said {
            assert!(text.contains(&unspaced(part)), "{}: {part:?} is not in\n{text}", pdf.display());
        }
        Some(set)
    }
}

#[test]
fn every_notice_prints_on_one_page_with_its_text_in_every_language() {
    let Some(press) = Press::open() else { return };
    let book = Book::standard().unwrap();
    for language in LANGUAGES {
        for (act, occasion) in
            [("nis2", "entering"), ("nis2", "leaving"), ("dora", "entering"), ("dora", "leaving")]
        {
            let notice = notice(act, occasion, "Énergie Électrique & Gaz – Régie <b>communale</b> NV/SA");
            let authority = book.authority(act, &notice.sector, notice.effective).unwrap();
            let said = [
                notice.organisation.as_str(),
                &notice.kbo,
                &notice.lei,
                "Cyber Security Coalition",
                "Governance, Risk & Compliance",
                "M-2026-7",
                authority.name(language),
                &book.day(language, notice.decided),
                &book.date(language, notice.effective),
                &book.date(language, notice.made),
                " 4711 ",
                book.text(language, &format!("title_{occasion}")),
                book.text(language, "signature"),
                &notice.entry,
            ];
            let page = html(&notice, authority, &book, language);
            press.prints(&format!("{act}-{occasion}.{language}"), &page, &said);
        }
    }
}

#[test]
fn the_boards_report_prints_on_one_page_with_its_text_in_every_language() {
    let Some(press) = Press::open() else { return };
    let book = Book::standard().unwrap();
    let groups = [
        "Application Security",
        "Awareness",
        "Cloud Security",
        "Cryptography",
        "Cyber Incident Detection & Response",
        "Cybersecurity for Hospitals",
        "Enterprise Security Architecture",
        "Governance, Risk & Compliance",
        "Identity & Access Management",
        "OT / ICS Security",
        "Privacy & Data Protection",
        "Regulations & Standardizations",
        "CIDR: financial entities",
    ];
    let share = |(n, group): (u64, &&str)| Share {
        group: (*group).to_owned(),
        own: [n * 3, n / 4, n * 1_271, n * 1_269],
        all: (n % 3 != 0).then_some([n + 5, n * 1_400]),
    };
    let report = Report {
        organisation: "Énergie Électrique & Gaz – Régie <b>communale</b> NV/SA".into(),
        coalition: "Cyber Security Coalition".into(),
        month: "2026-08-01T00:00:00Z".parse().unwrap(),
        charter: 3,
        entry: 4711,
        shares: (0..).zip(&groups).map(share).collect(),
    };
    for language in LANGUAGES {
        let month = book.month(language, report.month);
        let mut said: Vec<&str> = groups.to_vec();
        said.extend([
            report.organisation.as_str(),
            "Cyber Security Coalition",
            &month,
            "13981",
            "15400",
            "4711",
        ]);
        for key in ["group", "published", "withdrew", "received", "opened", "members", "messages", "too_few"]
        {
            said.push(book.text(language, &format!("activity_{key}")));
        }
        let set = press.prints(&format!("activity.{language}"), &report.html(&book, language), &said);
        for whole in ["13981", "13959", "15400", "Standardizations"] {
            assert!(
                set.as_ref().is_none_or(|set| set.contains(whole)),
                "{language}: {whole} is broken in {set:?}"
            );
        }
    }
}
