//! The client side: it imports nothing of the server.
