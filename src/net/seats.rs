//! Seats for connections: so many in all, so many a client address.
//!
//! An IPv6 client has 2^64 addresses to call from, and its neighbours have theirs in the same /64: the network
//! has a bound of its own, which leaves the others some seats, and is above that of one address.

use std::collections::HashMap;
use std::collections::hash_map::Entry;
use std::hash::Hash;
use std::net::IpAddr;
use std::sync::Arc;

use parking_lot::Mutex;

/// One part in so many of the seats is never an IPv6 network's: a quarter, for other networks to be served, and
/// no more, since a network may be a whole site with thousands of clients.
const LEFT_TO_OTHERS: usize = 4;

/// The seats, and who sits on how many.
#[derive(Debug)]
pub struct Seats {
    most: usize,
    /// At most `most` clients and networks, each with at least one seat.
    taken: Mutex<Taken>,
}

#[derive(Debug, Default)]
struct Taken {
    total: usize,
    by_client: HashMap<IpAddr, usize>,
    by_network: HashMap<Network, usize>,
}

/// Why there is no seat.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Full {
    /// All are taken.
    Total,
    /// The client, or its IPv6 network, has as many as one may have.
    Client,
}

/// A seat; it is free again when this is dropped.
#[derive(Debug)]
pub struct Seat {
    seats: Arc<Seats>,
    client: IpAddr,
}

impl Seats {
    /// So many seats.
    pub fn new(most: usize) -> Arc<Self> {
        Arc::new(Self { most, taken: Mutex::default() })
    }

    /// A seat for `client`, whose address may have `most_of_client`.
    ///
    /// # Errors
    /// Why there is none.
    pub fn take(self: &Arc<Self>, client: IpAddr, most_of_client: usize) -> Result<Seat, Full> {
        let client = client.to_canonical();
        let network = network(client);
        let mut taken = self.taken.lock();
        if taken.total >= self.most {
            return Err(Full::Total);
        }
        let of_client = taken.by_client.get(&client).copied().unwrap_or(0);
        let of_network = network.and_then(|n| taken.by_network.get(&n).copied()).unwrap_or(0);
        let most_of_network = most_of_client.max(self.most - self.most / LEFT_TO_OTHERS);
        if of_client >= most_of_client || of_network >= most_of_network {
            return Err(Full::Client);
        }
        taken.by_client.insert(client, of_client + 1);
        if let Some(network) = network {
            taken.by_network.insert(network, of_network + 1);
        }
        taken.total += 1;
        Ok(Seat { seats: self.clone(), client })
    }

    /// How many are taken.
    pub fn taken(&self) -> usize {
        self.taken.lock().total
    }
}

impl Drop for Seat {
    fn drop(&mut self) {
        let mut taken = self.seats.taken.lock();
        taken.total -= 1;
        leave(&mut taken.by_client, self.client);
        if let Some(network) = network(self.client) {
            leave(&mut taken.by_network, network);
        }
    }
}

fn leave<K: Hash + Eq>(seats_by: &mut HashMap<K, usize>, who: K) {
    if let Entry::Occupied(mut seats) = seats_by.entry(who) {
        *seats.get_mut() -= 1;
        if *seats.get() == 0 {
            seats.remove();
        }
    }
}

/// The first 64 bits of an IPv6 address.
type Network = [u16; 4];

fn network(client: IpAddr) -> Option<Network> {
    let IpAddr::V6(address) = client else { return None };
    let [a, b, c, d, ..] = address.segments();
    Some([a, b, c, d])
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_seat_is_free_again_when_it_is_left_and_no_client_is_remembered() {
        let seats = Seats::new(3);
        let [a, b, c] = [1, 2, 3].map(|n| IpAddr::from([10, 0, 0, n]));
        let first = seats.take(a, 2).unwrap();
        let second = seats.take(a, 2).unwrap();
        assert_eq!(seats.take(a, 2).unwrap_err(), Full::Client);
        let third = seats.take(b, 2).unwrap();
        assert_eq!(seats.take(c, 2).unwrap_err(), Full::Total);
        drop(first);
        assert_eq!(seats.taken(), 2);
        let fourth = seats.take(a, 2).unwrap();
        assert_eq!(seats.take(c, 2).unwrap_err(), Full::Total);
        drop((second, third, fourth));
        assert_eq!(seats.taken(), 0);
        assert!(seats.taken.lock().by_client.is_empty());
    }
    #[test]
    fn an_ipv6_network_leaves_others_a_quarter_and_a_client_leaves_its_neighbours_some() {
        let seats = Seats::new(8);
        let neighbour = |n: u16| IpAddr::from([0x2001, 0xdb8, 0, 1, 0, 0, 0, n]);
        let mut held: Vec<_> = (0..2).map(|_| seats.take(neighbour(0), 2).unwrap()).collect();
        assert_eq!(seats.take(neighbour(0), 2).unwrap_err(), Full::Client);
        held.extend((1..5).map(|n| seats.take(neighbour(n), 2).unwrap()));
        assert_eq!(seats.take(neighbour(5), 2).unwrap_err(), Full::Client);
        held.push(seats.take(IpAddr::from([0x2001, 0xdb8, 0, 2, 0, 0, 0, 1]), 2).unwrap());
        // Who may have all may have them from one address.
        held.push(seats.take(neighbour(0), 8).unwrap());
        assert_eq!(seats.take(neighbour(0), 8).unwrap_err(), Full::Total);
        drop(held);
        assert!(seats.taken.lock().by_network.is_empty());
        assert!(seats.taken.lock().by_client.is_empty());
    }

    #[test]
    fn an_ipv4_address_is_one_client_however_it_is_written() {
        let seats = Seats::new(8);
        let _held = seats.take("::ffff:10.0.0.1".parse().unwrap(), 1).unwrap();
        assert_eq!(seats.take(IpAddr::from([10, 0, 0, 1]), 1).unwrap_err(), Full::Client);
    }
}
