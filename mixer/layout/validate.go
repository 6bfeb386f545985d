package layout

// Validate answers a *FieldError for the first field that cannot be.
func (l *Layout) Validate() error {
	switch l.Name {
	case Auto, Grid, Speaker:
	default:
		return &FieldError{"name", "must be auto, grid or speaker"}
	}
	if l.MaxTiles < 0 || l.MaxTiles > MaxTiles {
		return &FieldError{"max_tiles", "must be 1 to 49"}
	}
	return nil
}
