//! An upstream on loopback that does as it is told, for the tests.

pub mod encrypted;

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use parking_lot::Mutex;
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio::net::{TcpListener, UdpSocket};
use tokio::task::JoinSet;

use super::exchange::Means;
use super::exchange::tls::Tls;
use super::exchange::udp::Sockets;
use super::message::{HEADER, Question};
use super::upstream::{Address, Transport};
use crate::view::wire::{self, Name};
use crate::view::zones::types;

/// A question for the addresses of a name.
pub fn question(name: &str) -> Question {
    Question::new(&self::name(name), types::A)
}

pub fn name(text: &str) -> Name {
    Name::read(&wire::parse(text, b"\0").unwrap()).unwrap()
}

/// So many sockets, and nobody trusted.
pub fn means(sockets: usize) -> Means {
    Means { sockets: Sockets::new(sockets), tls: Tls::trusting([]).unwrap() }
}

/// A reply to `query` with a response code and addresses.
pub fn reply(query: &[u8], rcode: u8, addresses: &[[u8; 4]]) -> Vec<u8> {
    let end = HEADER + wire::labels_of(&query[HEADER..]).map(|l| l.len() + 1).sum::<usize>() + 5;
    let mut reply = query[..end].to_vec();
    reply[2] |= 0x80;
    reply[3] = 0x80 | rcode;
    reply[6..12].copy_from_slice(&[0, u8::try_from(addresses.len()).unwrap(), 0, 0, 0, 0]);
    for address in addresses {
        reply.extend_from_slice(b"\xc0\x0c\x00\x01\x00\x01\x00\x00\x00\x3c\x00\x04");
        reply.extend_from_slice(address);
    }
    reply
}

/// The good reply that the tests know by its address.
pub fn good(query: &[u8]) -> Vec<u8> {
    reply(query, 0, &[[192, 0, 2, 1]])
}

/// `reply`, changed.
pub fn with(mut reply: Vec<u8>, change: impl FnOnce(&mut Vec<u8>)) -> Vec<u8> {
    change(&mut reply);
    reply
}

/// TC set, and no records.
pub fn truncated(query: &[u8]) -> Vec<u8> {
    with(reply(query, 0, &[]), |reply| reply[2] |= 2)
}

/// What an upstream does about a query, one after the other.
#[derive(Clone)]
pub enum Act {
    /// Sends a message: on a connection with its length before it.
    Say(Vec<u8>),
    /// Sends octets on a connection as they are.
    Drip(Vec<u8>),
    Wait(Duration),
    /// Closes the connection.
    Close,
}

/// What it does about the nth query, from 0.
type Behaviour = dyn Fn(usize, &[u8]) -> Vec<Act> + Send + Sync;

/// Replies to everything, well.
pub fn honest(_: usize, query: &[u8]) -> Vec<Act> {
    vec![Act::Say(good(query))]
}

/// Replies to nothing.
pub fn silent(_: usize, _: &[u8]) -> Vec<Act> {
    Vec::new()
}

/// Lets what was begun in the background go on.
pub async fn settle() {
    for _ in 0..100 {
        tokio::task::yield_now().await;
    }
    tokio::time::sleep(Duration::from_millis(20)).await;
}

/// Has time pass without waiting. A clock that always jumps when nobody has anything to do would jump while the kernel
/// carries a datagram.
pub async fn later(time: Duration) {
    tokio::time::pause();
    tokio::time::advance(time).await;
    tokio::time::resume();
    settle().await;
}

/// An upstream, until it is dropped.
pub struct Fake {
    pub addr: SocketAddr,
    pub heard: Arc<Heard>,
    _tasks: JoinSet<()>,
}

/// What it was asked.
#[derive(Default)]
pub struct Heard {
    pub datagrams: Mutex<Vec<(SocketAddr, Vec<u8>)>>,
    pub on_streams: Mutex<Vec<Vec<u8>>>,
    pub connections: Mutex<usize>,
}

impl Fake {
    /// Listens for datagrams and connections on one port.
    pub async fn start(
        udp: impl Fn(usize, &[u8]) -> Vec<Act> + Send + Sync + 'static,
        tcp: impl Fn(usize, &[u8]) -> Vec<Act> + Send + Sync + 'static,
    ) -> Self {
        let (socket, listener) = sockets().await;
        let (addr, heard) = (socket.local_addr().unwrap(), Arc::<Heard>::default());
        let mut tasks = JoinSet::new();
        tasks.spawn(on_datagrams(Arc::new(socket), Arc::new(udp), heard.clone()));
        tasks.spawn(on_connections(listener, Arc::new(tcp), heard.clone()));
        Self { addr, heard, _tasks: tasks }
    }

    /// Listens for datagrams alone: connections are refused.
    pub async fn start_without_tcp(
        udp: impl Fn(usize, &[u8]) -> Vec<Act> + Send + Sync + 'static,
    ) -> Self {
        let (socket, _) = sockets().await;
        let (addr, heard) = (socket.local_addr().unwrap(), Arc::<Heard>::default());
        let mut tasks = JoinSet::new();
        tasks.spawn(on_datagrams(Arc::new(socket), Arc::new(udp), heard.clone()));
        Self { addr, heard, _tasks: tasks }
    }

    pub fn address(&self) -> Address {
        Address { addr: self.addr, transport: Transport::Udp }
    }

    /// How many queries it got, of any kind, for `name`.
    pub fn count(&self, name: &str) -> usize {
        let asked = self::name(name);
        let is = |query: &[u8]| Name::read(&query[HEADER..]).unwrap().wire() == asked.wire();
        let datagrams = self.heard.datagrams.lock();
        let streams = self.heard.on_streams.lock();
        datagrams.iter().filter(|(_, query)| is(query)).count()
            + streams.iter().filter(|query| is(query)).count()
    }
}

/// A port that is nobody's, for both.
async fn sockets() -> (UdpSocket, TcpListener) {
    loop {
        let socket = UdpSocket::bind("127.0.0.1:0").await.unwrap();
        if let Ok(listener) = TcpListener::bind(socket.local_addr().unwrap()).await {
            return (socket, listener);
        }
    }
}

async fn on_datagrams(socket: Arc<UdpSocket>, behaviour: Arc<Behaviour>, heard: Arc<Heard>) {
    let mut room = [0; 2048];
    let mut talks = JoinSet::new();
    loop {
        let (len, peer) = socket.recv_from(&mut room).await.unwrap();
        let nth = {
            let mut datagrams = heard.datagrams.lock();
            datagrams.push((peer, room[..len].to_vec()));
            datagrams.len() - 1
        };
        let (socket, acts) = (socket.clone(), behaviour(nth, &room[..len]));
        talks.spawn(async move {
            for act in acts {
                match act {
                    Act::Say(octets) | Act::Drip(octets) => {
                        let _ = socket.send_to(&octets, peer).await;
                    }
                    Act::Wait(time) => tokio::time::sleep(time).await,
                    Act::Close => return,
                }
            }
        });
    }
}

async fn on_connections(listener: TcpListener, behaviour: Arc<Behaviour>, heard: Arc<Heard>) {
    let mut talks = JoinSet::new();
    loop {
        let (stream, _) = listener.accept().await.unwrap();
        *heard.connections.lock() += 1;
        talks.spawn(on_connection(stream, behaviour.clone(), heard.clone()));
    }
}

async fn on_connection(
    mut stream: impl AsyncRead + AsyncWrite + Unpin,
    behaviour: Arc<Behaviour>,
    heard: Arc<Heard>,
) {
    while let Ok(length) = stream.read_u16().await {
        let mut query = vec![0; length.into()];
        if stream.read_exact(&mut query).await.is_err() {
            return;
        }
        let nth = {
            let mut queries = heard.on_streams.lock();
            queries.push(query.clone());
            queries.len() - 1
        };
        for act in behaviour(nth, &query) {
            let octets = match act {
                Act::Say(octets) => {
                    let length = u16::try_from(octets.len()).unwrap();
                    [&length.to_be_bytes()[..], &octets].concat()
                }
                Act::Drip(octets) => octets,
                Act::Wait(time) => {
                    tokio::time::sleep(time).await;
                    continue;
                }
                Act::Close => return,
            };
            if stream.write_all(&octets).await.is_err() {
                return;
            }
        }
    }
}

/// Keeps all that may be kept.
pub struct Open;

impl super::accept::Judge for Open {
    fn is_ours(&self, _name: &[u8]) -> bool {
        false
    }

    fn may_lead_on(&self) -> bool {
        true
    }

    fn drops(&self, _rtype: u16, _rdata: &[u8]) -> bool {
        false
    }
}
