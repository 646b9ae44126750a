//! A server without sockets, for tests of the doors over HTTP.

use std::sync::Arc;

use axum::body::{Body, to_bytes};
use axum::extract::Request;
use axum::response::Response;
use serde_json::Value;

use super::guard::{Guarded, Peer};
use super::tests::config;
use super::{Api, router};
use crate::access::Access;
use crate::answer::Recursion;
use crate::audit::Audit;
use crate::config::Live;
use crate::registrar::{Registrar, Running};
use crate::shared::Shared;
use crate::store::Store;
use crate::telemetry::Sources;
use crate::view::View;

/// A server without sockets.
pub(in crate::api) struct World {
    pub(in crate::api) door: Guarded,
    pub(in crate::api) registrar: Registrar,
    running: Option<Running>,
    dir: Option<tempfile::TempDir>,
}

impl World {
    pub(in crate::api) fn new() -> Self {
        Self::on(tempfile::tempdir().unwrap())
    }

    /// Stops, and begins again with what is stored.
    pub(in crate::api) fn restart(&mut self) {
        let dir = self.dir.take().unwrap();
        self.running.take().unwrap().stop();
        *self = Self::on(dir);
    }

    fn on(dir: tempfile::TempDir) -> Self {
        let store = Store::open(dir.path()).unwrap();
        let (told, loaded) = std::sync::mpsc::channel();
        let tell = move |result: Result<_, _>| told.send(result.is_ok()).unwrap();
        let view = Arc::<View>::default();
        let (registrar, running) = Registrar::start(store, view, Default::default(), tell).unwrap();
        assert!(loaded.recv().unwrap());
        let live = Arc::new(Live::new(config("127.0.0.1:53")));
        let recursion = Arc::new(Shared::new(Recursion::default()));
        let scrape = Arc::new(Sources::default);
        let api = Api::new(
            registrar.clone(),
            Arc::<Access>::default(),
            Audit::default(),
            live,
            recursion,
            scrape,
            Arc::new(|_: &str, _: &str, _| Err(("name", "no DNS door is open here".to_owned()))),
        );
        Self { door: router(Arc::new(api)), registrar, running: Some(running), dir: Some(dir) }
    }

    /// The reply to a call with headers in lines.
    pub(in crate::api) async fn reply(
        &self,
        call: &str,
        headers: &str,
        body: impl Into<Body>,
    ) -> Response {
        let (method, path) = call.split_once(' ').unwrap();
        let mut request = Request::builder().method(method).uri(path).header("host", "localhost");
        for (name, value) in headers.lines().filter_map(|line| line.split_once(": ")) {
            request = request.header(name.trim(), value);
        }
        let mut request = request.body(body.into()).unwrap();
        request.extensions_mut().insert(Peer::plain("127.0.0.1:1".parse().unwrap()));
        self.door.respond(request).await
    }

    /// The code and the body of the reply to a call with headers in lines.
    pub(in crate::api) async fn call(
        &self,
        call: &str,
        headers: &str,
        body: impl Into<Body>,
    ) -> (u16, Vec<u8>) {
        let response = self.reply(call, headers, body).await;
        let status = response.status().as_u16();
        (status, to_bytes(response.into_body(), 1 << 26).await.unwrap().to_vec())
    }

    /// Makes a change.
    pub(in crate::api) async fn change(&self, call: &str, body: &str) {
        let (code, reply) =
            self.call(call, "content-type: application/json", body.to_owned()).await;
        assert!(code < 300, "{call}: {code} {}", String::from_utf8_lossy(&reply));
    }

    /// What is read, in JSON.
    pub(in crate::api) async fn get(&self, path: &str) -> Value {
        let (code, body) = self.call(&format!("GET {path}"), "accept: application/json", "").await;
        assert_eq!(code, 200, "{path}: {}", String::from_utf8_lossy(&body));
        serde_json::from_slice(&body).unwrap()
    }

    /// An instance as the native API shows it.
    pub(in crate::api) async fn native(&self, service: &str, id: &str) -> Value {
        self.get(&format!("/api/v1/services/{service}/instances/{id}")).await
    }
}

impl Drop for World {
    fn drop(&mut self) {
        if let Some(running) = self.running.take() {
            running.stop();
        }
    }
}
