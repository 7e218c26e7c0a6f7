"""What engines on servers of others share: a catalogue that is asked, and answers as Arrow."""
