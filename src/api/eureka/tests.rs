//! The door with a registrar behind it: calls as clients make them, and what is listed then.

use std::sync::Arc;

use axum::body::{Body, to_bytes};
use axum::extract::Request;
use serde_json::{Value, json};

use crate::access::Access;
use crate::answer::Recursion;
use crate::api::guard::{Guarded, Peer};
use crate::api::tests::config;
use crate::api::{Api, router};
use crate::audit::Audit;
use crate::config::Live;
use crate::registrar::{Registrar, Running};
use crate::shared::Shared;
use crate::store::Store;
use crate::telemetry::Sources;
use crate::view::View;

mod lists;
mod replication;
mod rest;

/// A server without sockets.
pub(super) struct World {
    pub(super) door: Guarded,
    pub(super) registrar: Registrar,
    running: Option<Running>,
    dir: Option<tempfile::TempDir>,
}

impl World {
    pub(super) fn new() -> Self {
        Self::on(tempfile::tempdir().unwrap())
    }

    /// Stops, and begins again with what is stored.
    pub(super) fn restart(&mut self) {
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
        );
        Self { door: router(Arc::new(api)), registrar, running: Some(running), dir: Some(dir) }
    }

    /// The code and the body of the reply to a call with headers in lines.
    pub(super) async fn call(
        &self,
        call: &str,
        headers: &str,
        body: impl Into<Body>,
    ) -> (u16, Vec<u8>) {
        let (method, path) = call.split_once(' ').unwrap();
        let mut request = Request::builder().method(method).uri(path).header("host", "localhost");
        for (name, value) in headers.lines().filter_map(|line| line.split_once(": ")) {
            request = request.header(name.trim(), value);
        }
        let mut request = request.body(body.into()).unwrap();
        request.extensions_mut().insert(Peer::plain("127.0.0.1:1".parse().unwrap()));
        let response = self.door.respond(request).await;
        let status = response.status().as_u16();
        (status, to_bytes(response.into_body(), 1 << 26).await.unwrap().to_vec())
    }

    /// The code of a call without a body; what is answered has none either.
    pub(super) async fn code(&self, call: &str) -> u16 {
        let (code, body) = self.call(call, "", "").await;
        if code == 200 || code == 404 {
            assert_eq!(String::from_utf8_lossy(&body), "", "{call}");
        }
        code
    }

    /// Sends JSON.
    pub(super) async fn post(&self, path: &str, value: &Value) -> (u16, Vec<u8>) {
        let headers = "content-type: application/json";
        self.call(&format!("POST {path}"), headers, value.to_string()).await
    }

    /// Registers an instance, which is taken.
    pub(super) async fn register(&self, instance: &Value) {
        let app = instance["instance"]["app"].as_str().unwrap();
        let (code, body) = self.post(&format!("/eureka/apps/{app}"), instance).await;
        assert_eq!(code, 204, "{}", String::from_utf8_lossy(&body));
        assert!(body.is_empty());
    }

    /// What is read, in JSON.
    pub(super) async fn get(&self, path: &str) -> Value {
        let (code, body) = self.call(&format!("GET {path}"), "accept: application/json", "").await;
        assert_eq!(code, 200, "{path}: {}", String::from_utf8_lossy(&body));
        serde_json::from_slice(&body).unwrap()
    }

    /// An instance as the native API shows it.
    pub(super) async fn native(&self, service: &str, id: &str) -> Value {
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

/// An instance as a client of Spring Cloud registers it.
pub(super) fn spring(app: &str, id: &str, port: u16) -> Value {
    json!({"instance": {
        "instanceId": id, "app": app, "appGroupName": null, "ipAddr": "10.0.0.1", "sid": "na",
        "homePageUrl": format!("http://h:{port}/"), "statusPageUrl": format!("http://h:{port}/actuator/info"),
        "healthCheckUrl": format!("http://h:{port}/actuator/health"), "secureHealthCheckUrl": null,
        "vipAddress": app.to_lowercase(), "secureVipAddress": app.to_lowercase(), "countryId": 1,
        "dataCenterInfo": {"@class": "com.netflix.appinfo.InstanceInfo$DefaultDataCenterInfo", "name": "MyOwn"},
        "hostName": "h.example", "status": "UP", "overriddenStatus": "UNKNOWN",
        "leaseInfo": {"renewalIntervalInSecs": 30, "durationInSecs": 90, "registrationTimestamp": 0,
            "lastRenewalTimestamp": 0, "evictionTimestamp": 0, "serviceUpTimestamp": 0},
        "isCoordinatingDiscoveryServer": "false", "lastUpdatedTimestamp": "1700000000000",
        "lastDirtyTimestamp": "1700000000000", "actionType": "ADDED", "asgName": null,
        "port": {"$": port, "@enabled": "true"}, "securePort": {"$": 443, "@enabled": "false"},
        "metadata": {"management.port": port.to_string(), "zone": "dc1"}}})
}
