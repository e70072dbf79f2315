"""The cloud that anyone can host: accounts, money, hosts, offers and pods."""
