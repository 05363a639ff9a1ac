//! Writes every target's seeds to `corpus/TARGET`, where libFuzzer looks.

use std::{fs, io, path::Path};

fn main() -> io::Result<()> {
    for target in belfry_fuzz::TARGETS {
        let folder = Path::new("corpus").join(target.name);
        fs::create_dir_all(&folder)?;
        for (number, seed) in (target.seeds)().into_iter().enumerate() {
            fs::write(folder.join(format!("seed-{number}")), seed)?;
        }
    }
    Ok(())
}
