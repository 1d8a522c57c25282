// Trial.
