//! visionone
