//! A made-up world.
