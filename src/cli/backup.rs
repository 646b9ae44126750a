//! `rollcall backup`: copies the store of a data directory, also while a server runs on it.

use std::path::PathBuf;

use serde_json::json;

use crate::server::{self, Given};

use super::failure::Failure;
use super::output;

/// From where, and where to.
#[derive(Debug, clap::Args)]
pub(super) struct Args {
    /// The file to write
    file: PathBuf,
    /// The configuration file that names the data directory
    #[arg(long, value_name = "FILE")]
    config: Option<PathBuf>,
    /// The data directory
    #[arg(long, value_name = "DIR")]
    data_dir: Option<PathBuf>,
    /// Write over a file that is there
    #[arg(long)]
    overwrite: bool,
}

/// Copies the store.
pub(super) fn run(json: bool, args: Args) -> Result<(), Failure> {
    let Args { file, config, data_dir, overwrite } = args;
    let given = Given { config, data_dir, ..Given::default() };
    let instances = server::backup(&given, &file, overwrite).map_err(Failure::failed)?;
    let text = format!("{} holds {instances} instances", file.display());
    output::result(json, &json!({ "file": file, "instances": instances }), &text)
}
