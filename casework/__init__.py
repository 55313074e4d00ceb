"""Cases, people, exhibits, chains of custody and disclosure: what the footage is for. No HTTP in here."""
