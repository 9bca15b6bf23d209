package synthetic

var firstNames = []string{
	"Anna", "Ben", "Clara", "David", "Elif", "Felix", "Greta", "Hannah", "Ivan", "Julia", "Karim", "Lena", "Marie", "Noah", "Olga", "Paul",
	"Quentin", "Rosa", "Sofía", "Tom", "Ursula", "Victor", "Wanda", "Xenia", "Yusuf", "Zoé", "Jörg", "Søren", "Łukasz", "Begoña", "Käthe", "René",
	"Alice", "Bruno", "Carla", "Dmitri", "Emma", "Fatima", "Giulia", "Hugo", "Ines", "Jakob", "Katarzyna", "Leo", "Mia", "Nina", "Oscar", "Petra",
	"Ravi", "Sara", "Theo", "Uma", "Vera", "Wei", "Yan", "Zara", "Antonio", "Birgit", "Chloé", "Daniel", "Eva", "Frieda", "Georg", "Helena",
}

var lastNames = []string{
	"Müller", "Schmidt", "Schneider", "Fischer", "Weber", "Meyer", "Wagner", "Becker", "Schulz", "Hoffmann", "Koch", "Bauer", "Richter", "Klein", "Wolf", "Schröder",
	"Neumann", "Schwarz", "Zimmermann", "Braun", "Krüger", "Hofmann", "Hartmann", "Lange", "Smith", "Jones", "Taylor", "Brown", "Williams", "Wilson", "Johnson", "Davies",
	"Robinson", "Wright", "Thompson", "Evans", "Walker", "White", "Roberts", "Green", "Martin", "Bernard", "Dubois", "Thomas", "Robert", "Richard", "Petit", "Durand",
	"Leroy", "Moreau", "Simon", "Laurent", "Rossi", "Russo", "Ferrari", "Esposito", "Bianchi", "Romano", "Colombo", "Ricci", "García", "Fernández", "González", "Rodríguez",
	"López", "Martínez", "Sánchez", "Pérez", "Muñoz", "Nowak", "Kowalski", "Wiśniewski", "Jansen", "de Vries", "van Dijk", "Bakker", "Visser", "Andersson", "Johansson", "Karlsson",
	"Nilsson", "Hansen", "Sørensen", "O'Brien", "O'Connor", "Murphy", "Kaya", "Yılmaz", "Demir", "Wang", "Li", "Zhang", "Liu", "Chen", "Nguyen", "Patel",
}
