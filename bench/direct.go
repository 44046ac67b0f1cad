package main

// direct is PostgreSQL itself, with a server process for each client.
func direct() target {
	return target{name: "direct", title: "PostgreSQL", clients: serverClients}
}
