//! The machines of a ceremony: one folder, every command with its passphrase.

use std::{fs, path::PathBuf};

use belfry_tests::process::{Coalition, Ran};

/// A coalition's folder and the holders around it.
pub(crate) struct Desk {
    pub(crate) coalition: Coalition,
}

impl Desk {
    /// `belfry coalition init`: one key of each kind.
    pub(crate) fn found(name: &str) -> Self {
        Self { coalition: Coalition::found(name) }
    }

    pub(crate) fn path(&self, name: &str) -> PathBuf {
        self.coalition.path(name)
    }

    /// Runs `belfry coalition …` with the passphrase.
    pub(crate) fn run(&self, arguments: &[&str]) -> Ran {
        self.coalition.run(&[&["coalition"], arguments].concat())
    }

    /// One that must succeed.
    #[track_caller]
    pub(crate) fn ok(&self, arguments: &[&str]) -> String {
        let ran = self.run(arguments);
        assert_eq!(ran.code, 0, "coalition {}\n{}{}", arguments.join(" "), ran.stdout, ran.stderr);
        ran.stdout
    }

    /// One that must be refused by a rule (exit code 3); its words.
    #[track_caller]
    pub(crate) fn refused(&self, arguments: &[&str]) -> String {
        let ran = self.run(arguments);
        assert_eq!(ran.code, 3, "coalition {}\n{}{}", arguments.join(" "), ran.stdout, ran.stderr);
        assert!(!ran.stderr.trim().is_empty());
        ran.stderr
    }

    /// A holder's new key; its public half.
    pub(crate) fn key(&self, name: &str) -> String {
        let out = self.ok(&["key", "--key", name, "--passphrase-file", "passphrase"]);
        out.lines().last().unwrap().trim().to_owned()
    }

    /// The charter in force as a draft, changed.
    pub(crate) fn draft(&self, name: &str, changes: &[(&str, &str)]) {
        self.ok(&["charter", "draft", "--out", name, "--dir", "coalition"]);
        let mut text = fs::read_to_string(self.path(name)).unwrap();
        for (from, to) in changes {
            assert!(text.contains(from), "{from} is not in\n{text}");
            text = text.replacen(from, to, 1);
        }
        fs::write(self.path(name), text).unwrap();
    }

    /// Drafts, makes, signs with the first root key and publishes.
    pub(crate) fn amend(&self, changes: &[(&str, &str)]) {
        let _ = fs::remove_file(self.path("amend.toml"));
        self.draft("amend.toml", changes);
        self.ok(&["charter", "make", "amend.toml", "--out", "amend.pem", "--dir", "coalition"]);
        self.sign("amend.pem", "coalition/keys/root.pem");
        self.ok(&["charter", "publish", "amend.pem", "--dir", "coalition"]);
    }

    /// A root holder signs a file.
    #[track_caller]
    pub(crate) fn sign(&self, file: &str, key: &str) -> String {
        self.ok(&["charter", "sign", file, "--key", key, "--passphrase-file", "passphrase", "--yes"])
    }

    /// A whole second machine: everything of a folder, copied.
    pub(crate) fn copy(&self, from: &str, to: &str) {
        fn copy(from: &std::path::Path, to: &std::path::Path) {
            fs::create_dir_all(to).unwrap();
            for entry in fs::read_dir(from).unwrap() {
                let entry = entry.unwrap();
                let target = to.join(entry.file_name());
                match entry.file_type().unwrap().is_dir() {
                    true => copy(&entry.path(), &target),
                    false => drop(fs::copy(entry.path(), target).unwrap()),
                }
            }
        }
        copy(&self.path(from), &self.path(to));
        belfry_tests::process::chmod(&self.path(to), 0o700);
    }
}
