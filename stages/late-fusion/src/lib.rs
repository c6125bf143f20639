//! Late fusion: probabilities of several systems become one.
