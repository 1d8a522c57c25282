"""The pages that people see: server-rendered shells, own ES modules, no build step."""
