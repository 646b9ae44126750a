//! `http-echo`: what an HTTP server costs that looks nothing up. The reference for renewals over HTTP.
//!
//! A bare axum handler on the route of a renewal, with its path taken apart, on the runtime that the server uses.

use std::io;
use std::net::Ipv4Addr;

use axum::Router;
use axum::extract::Path;
use axum::http::header::CONTENT_TYPE;
use axum::response::IntoResponse;
use axum::routing::put;
use tokio::net::TcpListener;
use tokio::runtime::Builder;

/// The reply to a renewal.
const REPLY: &str = r#"{"expires_in_ms":30000}"#;

/// Where it listens.
#[derive(Debug, clap::Args)]
pub struct Args {
    /// The port, on 127.0.0.1
    #[arg(long)]
    port: u16,
}

/// Serves until it is ended.
pub fn run(args: &Args) -> io::Result<()> {
    let routes = Router::new().route("/api/v1/services/{service}/instances/{id}/lease", put(renew));
    Builder::new_multi_thread().enable_all().build()?.block_on(async {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, args.port)).await?;
        axum::serve(listener, routes).await
    })
}

async fn renew(Path((service, id)): Path<(String, String)>) -> impl IntoResponse {
    // Both were taken apart and put into strings, as a handler that looks them up has it done.
    std::hint::black_box((service, id));
    ([(CONTENT_TYPE, "application/json")], REPLY)
}
