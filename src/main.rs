//! Arguments, run, exit code.

use std::process::ExitCode;

// musl's own is slow with many threads, and glibc's is as good as this one: measured in ARCHITECTURE.md.
#[cfg(target_env = "musl")]
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

fn main() -> ExitCode {
    rollcall::cli::main(std::env::args_os())
}
