package task

// AutoLoops is how many loops a machine is best served with, if nobody says: 0 where there are none. Half of the processors are left to
// PostgreSQL, to the kernel's side of the network, and to what runs beside the loops. A loop that others take work from does less of it at a time.
func AutoLoops() int {
	if !loopsSupported {
		return 0
	}
	return max(1, Processors()/2)
}
