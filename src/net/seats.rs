//! Seats for connections: so many in all, so many a client address.

use std::collections::HashMap;
use std::net::IpAddr;
use std::sync::Arc;

use parking_lot::Mutex;

/// The seats, and who sits on how many.
#[derive(Debug)]
pub(super) struct Seats {
    most: usize,
    most_per_client: usize,
    /// At most `most` clients, each with at least one seat.
    taken: Mutex<Taken>,
}

#[derive(Debug, Default)]
struct Taken {
    total: usize,
    by_client: HashMap<IpAddr, usize>,
}

/// Why there is no seat.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Full {
    /// All are taken.
    Total,
    /// The client has as many as one may have.
    Client,
}

/// A seat; it is free again when this is dropped.
#[derive(Debug)]
pub(super) struct Seat {
    seats: Arc<Seats>,
    client: IpAddr,
}

impl Seats {
    pub fn new(most: usize, most_per_client: usize) -> Arc<Self> {
        Arc::new(Self { most, most_per_client, taken: Mutex::default() })
    }

    /// A seat for `client`.
    pub fn take(self: &Arc<Self>, client: IpAddr) -> Result<Seat, Full> {
        let mut taken = self.taken.lock();
        if taken.total >= self.most {
            return Err(Full::Total);
        }
        let of_client = taken.by_client.get(&client).copied().unwrap_or(0);
        if of_client >= self.most_per_client {
            return Err(Full::Client);
        }
        taken.by_client.insert(client, of_client + 1);
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
        if let Some(of_client) = taken.by_client.get_mut(&self.client) {
            *of_client -= 1;
            if *of_client == 0 {
                taken.by_client.remove(&self.client);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_seat_is_free_again_when_it_is_left_and_no_client_is_remembered() {
        let seats = Seats::new(3, 2);
        let [a, b, c] = [1, 2, 3].map(|n| IpAddr::from([10, 0, 0, n]));
        let first = seats.take(a).unwrap();
        let second = seats.take(a).unwrap();
        assert_eq!(seats.take(a).unwrap_err(), Full::Client);
        let third = seats.take(b).unwrap();
        assert_eq!(seats.take(c).unwrap_err(), Full::Total);
        drop(first);
        assert_eq!(seats.taken(), 2);
        let fourth = seats.take(a).unwrap();
        assert_eq!(seats.take(c).unwrap_err(), Full::Total);
        drop((second, third, fourth));
        assert_eq!(seats.taken(), 0);
        assert!(seats.taken.lock().by_client.is_empty());
    }
}
