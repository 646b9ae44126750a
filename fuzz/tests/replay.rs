//! What fuzzing has found, and what it began with, is given to the targets again.

use std::fs;
use std::path::Path;

use rollcall_fuzz::TARGETS;

#[test]
fn all_that_was_kept_holds() {
    let corpus = Path::new(env!("CARGO_MANIFEST_DIR")).join("corpus");
    for (name, target) in TARGETS {
        let mut count = 0;
        for entry in fs::read_dir(corpus.join(name)).expect(name) {
            let path = entry.unwrap().path();
            let data = fs::read(&path).unwrap();
            // The path is on the screen if it panics.
            println!("{}", path.display());
            target(&data);
            count += 1;
        }
        assert!(count > 0, "no corpus for {name}");
    }
}
