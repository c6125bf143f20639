//! From samples to a log-mel spectrogram in dB.
