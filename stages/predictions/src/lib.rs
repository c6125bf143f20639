//! What a system says of every clip: class probabilities as rows, and their CSV file.
