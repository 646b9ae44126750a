"""What the black-box tests share: a server under test, and clients for each of its doors."""
