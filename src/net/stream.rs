//! The streams that connections are made of: TCP as it is, or TLS over it.

use std::io::{self, ErrorKind, Read};

use socket2::SockRef;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::TcpStream;
use tokio_rustls::server::TlsStream;

use crate::answer::Transport;

/// Reads of the kernel's octets that make one read of a client's: a record of TLS has 16 KiB and a little, and comes in
/// pieces of 4 KiB at least if it is there.
const READS_OF_A_RECORD_MOST: usize = 16;

/// A stream that queries come on.
pub(super) trait Stream: AsyncRead + AsyncWrite + Unpin + Send {
    /// How a query came that came on it.
    const TRANSPORT: Transport;

    /// Reads what the kernel holds, 0 at the stream's end. Not through the runtime, which may not have heard of it yet.
    fn read_waiting(&mut self, room: &mut [u8]) -> io::Result<usize>;

    /// The TCP connection.
    fn tcp(&self) -> &TcpStream;
}

impl Stream for TcpStream {
    const TRANSPORT: Transport = Transport::Tcp;

    fn read_waiting(&mut self, room: &mut [u8]) -> io::Result<usize> {
        (&*SockRef::from(&*self)).read(room)
    }

    fn tcp(&self) -> &TcpStream {
        self
    }
}

impl Stream for Box<TlsStream<TcpStream>> {
    const TRANSPORT: Transport = Transport::Tls;

    fn read_waiting(&mut self, room: &mut [u8]) -> io::Result<usize> {
        let (tcp, session) = self.get_mut();
        let socket = SockRef::from(&*tcp);
        for _ in 0..READS_OF_A_RECORD_MOST {
            match session.reader().read(room) {
                Err(error) if error.kind() == ErrorKind::WouldBlock => {}
                read => return read,
            }
            if session.read_tls(&mut &*socket)? == 0 {
                return Ok(0);
            }
            session.process_new_packets().map_err(io::Error::other)?;
        }
        Err(ErrorKind::WouldBlock.into())
    }

    fn tcp(&self) -> &TcpStream {
        self.get_ref().0
    }
}
