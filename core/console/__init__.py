"""What every command needs: options, output streams, progress, silenced libraries, processes."""
