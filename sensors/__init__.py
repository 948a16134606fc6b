"""What starts runs by itself. Sensors name their targets by asset key and import no asset."""
