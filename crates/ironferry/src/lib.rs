//! Write Supabase Edge Functions in Rust.
