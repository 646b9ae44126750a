//! Arguments, run, exit code.

use std::process::ExitCode;

fn main() -> ExitCode {
    rollcall::cli::main(std::env::args_os())
}
