//! `watch-load`: watchers of many services, and changes of which each is to reach all watchers of its service.
//!
//! A change is timed from before it is sent until the last watcher has it. Some watchers may read nothing at all: the others
//! are not to notice.

use std::io;
use std::net::Ipv4Addr;
use std::process;
use std::time::{Duration, Instant};

use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;
use tokio::runtime::Builder;
use tokio::sync::mpsc::{UnboundedReceiver, UnboundedSender, unbounded_channel};
use tokio::time::timeout_at;

use crate::figures::{Latencies, Line};

/// How long a change may take to reach all: then it is counted as lost.
const PATIENCE: Duration = Duration::from_secs(2);
/// Octets that are read at once.
const ROOM: usize = 16 * 1024;

/// How many watch what.
#[derive(Debug, clap::Args)]
pub struct Args {
    /// The server's port for HTTP, on 127.0.0.1
    #[arg(long)]
    http: u16,
    /// Watchers
    #[arg(long, default_value_t = 5_000)]
    watchers: usize,
    /// Watchers beside them that read nothing
    #[arg(long, default_value_t = 50)]
    deaf: usize,
    /// Services, called web-0000 and so on, that are watched in turn
    #[arg(long, default_value_t = 500)]
    services: usize,
    /// Seconds of changes
    #[arg(long, default_value_t = 5.0)]
    secs: f64,
    /// Milliseconds between two changes
    #[arg(long, default_value_t = 5)]
    pause_ms: u64,
}

/// Watches and changes, and prints the figures.
pub fn run(args: &Args) -> io::Result<()> {
    let runtime = Builder::new_current_thread().enable_all().build()?;
    runtime.block_on(watch(args))
}

/// What a watcher has heard: the port that a change gave an instance.
type Heard = UnboundedSender<(usize, u16)>;

async fn watch(args: &Args) -> io::Result<()> {
    let (sender, mut heard) = unbounded_channel();
    let mut deaf = Vec::new();
    for n in 0..args.watchers {
        let stream = subscribe(args.http, n % args.services).await?;
        tokio::spawn(listen(stream, n % args.services, sender.clone()));
    }
    for n in 0..args.deaf {
        deaf.push(subscribe(args.http, n % args.services).await?);
    }
    let mut changer = TcpStream::connect((Ipv4Addr::LOCALHOST, args.http)).await?;
    changer.set_nodelay(true)?;
    let end = Instant::now() + Duration::from_secs_f64(args.secs);
    let (mut latencies, mut lost, mut foreign, mut at) = (Latencies::new(), 0_u64, 0_u64, 0);
    let each = args.watchers / args.services;
    while Instant::now() < end {
        let service = at % args.services;
        // Another run begins at another port, so that its first changes are changes, too.
        let at_port = at + process::id() as usize * 7_919;
        let port = u16::try_from(10_000 + at_port % 50_000).unwrap_or(1);
        at += 1;
        let began = Instant::now();
        change(&mut changer, service, port).await?;
        match all_heard(&mut heard, (service, port), each, began, &mut foreign).await {
            Some(took) => latencies.add(u64::try_from(took.as_nanos()).unwrap_or(u64::MAX)),
            None => lost += 1,
        }
        tokio::time::sleep(Duration::from_millis(args.pause_ms)).await;
    }
    Line::default()
        .count("changes", latencies.count())
        .count("lost", lost)
        .count("foreign", foreign)
        .value("p50_us", latencies.percentile(0.5))
        .value("p99_us", latencies.percentile(0.99))
        .value("max_us", latencies.percentile(0.999_999))
        .print();
    drop(deaf);
    Ok(())
}

/// Waits until all watchers of a service have a change; `None`: some have not in time.
async fn all_heard(
    heard: &mut UnboundedReceiver<(usize, u16)>,
    wanted: (usize, u16),
    each: usize,
    began: Instant,
    foreign: &mut u64,
) -> Option<Duration> {
    let mut left = each;
    while left > 0 {
        let next = timeout_at((began + PATIENCE).into(), heard.recv()).await.ok()??;
        if next == wanted {
            left -= 1;
        } else {
            *foreign += 1;
        }
    }
    Some(began.elapsed())
}

/// Begins to watch a service, from now on.
async fn subscribe(port: u16, service: usize) -> io::Result<TcpStream> {
    let mut stream = TcpStream::connect((Ipv4Addr::LOCALHOST, port)).await?;
    let request = format!(
        "GET /api/v1/watch?service=web-{service:04} HTTP/1.1\r\nHost: 127.0.0.1:{port}\r\nAccept: text/event-stream\r\n\r\n"
    );
    stream.write_all(request.as_bytes()).await?;
    let mut room = [0; 1024];
    let mut text = String::new();
    while !text.contains("event: watching") {
        let count = stream.read(&mut room).await?;
        if count == 0 {
            return Err(io::Error::other(format!("it does not let us watch: {text}")));
        }
        text += &String::from_utf8_lossy(&room[..count]);
    }
    Ok(stream)
}

/// Tells of every event, until the stream ends.
async fn listen(mut stream: TcpStream, service: usize, heard: Heard) {
    let name = format!("\"service\":\"web-{service:04}\"");
    let mut room = vec![0; ROOM];
    while let Ok(count @ 1..) = stream.read(&mut room).await {
        // An event is small and sent at once: it comes in one piece.
        let text = String::from_utf8_lossy(&room[..count]);
        let told = if text.contains(&name) { service } else { usize::MAX };
        for part in text.split("\"port\":").skip(1) {
            let digits: String = part.chars().take_while(char::is_ascii_digit).collect();
            if heard.send((told, digits.parse().unwrap_or(0))).is_err() {
                return;
            }
        }
    }
}

/// Gives the first instance of a service another port.
async fn change(stream: &mut TcpStream, service: usize, port: u16) -> io::Result<()> {
    let body = format!(r#"{{"addresses":["10.0.0.1"],"port":{port},"lease_secs":3600}}"#);
    let request = format!(
        "PUT /api/v1/services/web-{service:04}/instances/watched HTTP/1.1\r\nHost: 127.0.0.1\r\n\
         Content-Type: application/json\r\nContent-Length: {}\r\n\r\n{body}",
        body.len()
    );
    stream.write_all(request.as_bytes()).await?;
    let mut room = [0; 2048];
    let count = stream.read(&mut room).await?;
    let reply = String::from_utf8_lossy(&room[..count]);
    if reply.starts_with("HTTP/1.1 20") {
        Ok(())
    } else {
        Err(io::Error::other(reply.into_owned()))
    }
}
