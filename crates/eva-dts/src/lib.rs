//! Reads the audit files of vending machines (EVA-DTS, DEX).
